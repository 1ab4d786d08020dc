"""Recipe of model 18, DeepSC-COVID (Wang et al., sections IV-E and V-A): both tasks apart, then together. What it
shares with models 19 and 20 is in `training.deepsc`, and so are the sources of its constants."""

from __future__ import annotations

from training import deepsc
from training.deepsc import JointPlan
from training.recipe import Recipe

SCALES = deepsc.scales(
    JointPlan,
    small={"steps": 100, "joint_steps": 50, "validate_every": 100},
    tiny={"steps": 10, "lr": 3e-3, "joint_steps": 10, "joint_lr": 3e-3, "validate_every": 10},
)


def recipe(scale: str, plan: JointPlan) -> Recipe:
    arguments = {"cross_stitch": plan.cross_stitch, "channels": plan.channels}
    first = deepsc.stage(plan, "apart", apart=True)
    second = deepsc.stage(
        plan,
        "together",
        apart=False,
        task_aware=plan.task_aware,
        multi_scale=plan.multi_scale,
        steps=plan.joint_steps,
        lr=plan.joint_lr,
    )
    return deepsc.recipe(18, scale, plan, "both", arguments, first, second)
