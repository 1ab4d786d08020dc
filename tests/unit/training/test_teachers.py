"""Recipes with a teacher: Semi-Inf-Net's pseudo-labels, COPLE-Net's self-ensembling."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.unit.training.small_patients import written
from training.recipe import Batch
from training.recipes import coplenet, inf_net
from training.train import prepared


class Sees(nn.Module):
    """Calls lesion what is above a level; as Inf-Net does where `maps`, with two channels as COPLE-Net else."""

    def __init__(self, level: float, *, maps: bool) -> None:
        super().__init__()
        self.level, self.maps = nn.Parameter(torch.tensor(level)), maps

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        logit = 20.0 * (x - self.level)
        return (logit.expand(-1, 4, -1, -1), logit) if self.maps else torch.cat([-logit, logit], dim=1)


def picture() -> Tensor:
    return torch.linspace(0.0, 1.0, 64 * 64).reshape(1, 1, 64, 64).repeat(2, 1, 1, 1)


def test_pseudo_labels_are_what_the_teacher_sees_where_nobody_told() -> None:
    batch: Batch = {"image": torch.zeros(2, 1, 64, 64), "unlabelled": picture()}
    teacher = Sees(0.5, maps=True)
    same, other = (
        inf_net.pseudo_loss(Sees(level, maps=True), batch, teacher, sizes=False)["pseudo-labels: finest map"].detach()
        for level in (0.5, 0.9)
    )
    assert float(same) < 0.3 * float(other)
    network = Sees(0.9, maps=True)
    torch.stack(list(inf_net.pseudo_loss(network, batch, teacher, sizes=False).values())).sum().backward()  # type: ignore[no-untyped-call]
    assert network.level.grad is not None
    assert teacher.level.grad is None


def test_semi_inf_net_has_three_stages_and_few_patients_who_are_told(tmp_path: Path) -> None:
    recipe, _ = prepared("inf-net", "paper", ["semi=true"])
    assert [(stage.name, stage.steps, stage.lr) for stage in recipe.stages] == [
        ("lesions", 600, 1e-4),
        ("pseudo-labels", 2000, 3e-4),
        ("annotated again", 600, 1e-4),
    ]
    assert [stage.teacher is not None for stage in recipe.stages] == [False, True, False]
    assert len(prepared("inf-net", "paper")[0].stages) == 1
    semi, _ = prepared("inf-net", "tiny", ["semi=true"])
    batch = semi.data(written(tmp_path)).batch(torch.default_generator)  # type: ignore[arg-type]  # by heart: not drawn
    assert batch["unlabelled"].shape == batch["image"].shape
    assert not batch["lesions"].isnan().any()


def test_the_network_agrees_with_a_teacher_that_is_better_alone() -> None:
    image = picture()
    lesions = (image > 0.5).float()
    lesions[:, :, :4] = torch.nan  # padding
    batch: Batch = {"image": image, "lesions": lesions}
    torch.manual_seed(0)
    good, poor = Sees(0.5, maps=False), Sees(0.9, maps=False)
    assert float(coplenet.agreement(poor, batch, good)["agreement"].detach()) > 0.01
    assert float(coplenet.agreement(good, batch, poor)["agreement"].detach()) == 0.0
    taught, _ = prepared("coplenet", "small", ["teacher=true"])
    assert taught.stages[0].teacher is not None
    assert taught.stages[0].teacher.keep == pytest.approx(0.99)
    assert prepared("coplenet", "small")[0].stages[0].teacher is None
