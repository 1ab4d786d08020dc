"""Models 10 to 13: SqueezeNet3D, ShiftNet3D, COVID-MTL and its transfer.

COVID-MTL: multitask learning with Shift3D and random-weighted loss for COVID-19 diagnosis and severity assessment (Bao
et al., Pattern Recognition 2022), section 4; what the paper leaves open follows the description of the authors'
published SqueezeNet3D.py, Shift3D.py and COVID-MTL.py (github.com/guoqingbao/COVID-MTL, which states no licence: no
line of it is used). The trunk is the 3-D SqueezeNet v1.1 of Efficient-3DCNNs with a wider squeeze and a stride of 2 on
every axis of the stem. Chosen here: each task has a linear layer from its 32 channels to its classes without features
too (the published code takes the 32 channels for logits); the chance of Shift3D is what it says (the published gate
never shifts at a chance of 1); the last convolution of a single task is drawn by the connections that enter it; the
transfer averages the trunk's maps over space and puts one linear layer on them.
Code Apache-2.0; no weights of theirs are used.

Inputs are lung-masked volumes of one channel on an isotropic grid, standardised: 200 x 250 x 250 voxels in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.layers import he_initialised

DIAGNOSES = {"CT": 2, "NAT": 2}  # classes of a task: read by radiologists, nucleic acid test
TASKS = {**DIAGNOSES, "severity": 3}
TRUNK_CHANNELS, TASK_CHANNELS = 512, 32
HIDDEN = (256, 128, 64)  # of the feature network, which ends in TASK_CHANNELS (section 5.1)
DROPOUT = 0.3
EPSILON, MOMENTUM = 1e-3, 0.01  # of the trunk's batch norms (SqueezeNet3D.py)


class Shift3D(nn.Module):
    """Maps (N, C, D, H, W) rolled along an axis at random, while training (algorithm 2).

    A sample is shifted with `chance`; then every one of its channels for itself, or all alike. The distance is even
    from 0 to `furthest` of the axis. `fill` is put where lines re-enter; None leaves them.
    """

    def __init__(
        self, furthest: float = 0.2, chance: float = 0.25, *, each_channel: bool = True, fill: float | None = None
    ) -> None:
        super().__init__()
        if not (0.0 <= furthest < 1.0 and 0.0 <= chance <= 1.0):
            raise ValueError(f"a shift of {furthest} of the axis with a chance of {chance}")
        self.furthest, self.chance, self.each_channel, self.fill = furthest, chance, each_channel, fill

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        # Drawn on the CPU, so that a seed means the same on every device.
        shifted = (torch.rand(x.shape[0]) < self.chance).tolist()
        return torch.stack([self._shifted(s) if now else s for s, now in zip(x, shifted, strict=True)])

    def _shifted(self, sample: Tensor) -> Tensor:
        return torch.stack([self._rolled(c) for c in sample]) if self.each_channel else self._rolled(sample)

    def _rolled(self, maps: Tensor) -> Tensor:
        axis = int(torch.randint(3, ())) - 3
        size = maps.shape[axis]
        lines = int(torch.randint(int(self.furthest * size) + 1, ()))
        forward = bool(torch.randint(2, ()))
        result = torch.roll(maps, lines if forward else -lines, axis)
        if self.fill is not None:
            result.narrow(axis, 0 if forward else size - lines, lines).fill_(self.fill)
        return result


class Fire(nn.Module):
    """Squeeze to few channels, expand by 1 x 1 x 1 and 3 x 3 x 3 side by side; `bypass` adds the input."""

    def __init__(self, channels: int, squeeze: int, expand: int, *, bypass: bool) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.Conv3d(channels, squeeze, 1), _norm(squeeze), nn.ReLU())
        self.point = nn.Sequential(nn.Conv3d(squeeze, expand, 1), _norm(expand))
        self.cube = nn.Sequential(nn.Conv3d(squeeze, expand, 3, padding=1), _norm(expand))
        self.bypass = bypass

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x)
        result = torch.cat([self.point(squeezed), self.cube(squeezed)], dim=1)
        return torch.relu(result + x if self.bypass else result)


class SqueezeTrunk(nn.Sequential):
    """(N, 1, D, H, W) to (N, 512, D/16, H/16, W/16), every half rounded up; with Shift3D behind the stem or without.

    `squeeze`: channels of the first squeeze, 32 in the paper's code and 16 in SqueezeNet v1.1.
    """

    def __init__(self, squeeze: int = 32, *, shift: bool = False) -> None:
        stem = (nn.Conv3d(1, 64, 3, stride=2, padding=1), _norm(64), nn.ReLU(), Shift3D() if shift else nn.Identity())
        stages: list[nn.Module] = []
        channels = 64
        for n in (1, 2, 3, 4):
            expand = 64 * n
            first = Fire(channels, n * squeeze, expand, bypass=False)
            second = Fire(2 * expand, n * squeeze, expand, bypass=True)
            stages += [nn.MaxPool3d(3, stride=2, padding=1), first, second]
            channels = 2 * expand
        super().__init__(*stem, *stages)
        he_initialised(self)


class SqueezeNet3D(nn.Module):
    """Models 10 and 11 (`shift`): one task, (N, 1, D, H, W) to logits (N, classes)."""

    def __init__(self, classes: int = 2, *, shift: bool = False, squeeze: int = 32) -> None:
        super().__init__()
        self.trunk = SqueezeTrunk(squeeze, shift=shift)
        self.classifier = nn.Sequential(nn.Dropout(DROPOUT), *_pooled(TRUNK_CHANNELS, classes))
        he_initialised(self.classifier, mode="fan_in")  # by the two that leave, logits would begin in the tens

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classifier(self.trunk(x))
        return result


class CovidMTL(nn.Module):
    """Model 12: one trunk, and a task-specific layer and a decision for each task of `tasks`.

    `features`: how many radiomic features are given beside the volume (375 in the paper), 0 for none. They are scaled
    to [0, 1] by the ranges `feature_low` and `feature_high`, buffers that whoever trains fills in. `uncertainty` adds
    the learnable log variance of each task that the uncertainty loss needs.
    """

    def __init__(
        self,
        tasks: Sequence[str] = tuple(TASKS),
        *,
        features: int = 0,
        shift: bool = True,
        uncertainty: bool = False,
        squeeze: int = 32,
    ) -> None:
        super().__init__()
        unknown = [task for task in tasks if task not in TASKS]
        if unknown or not tasks:
            raise ValueError(f"tasks {list(tasks)}: must be of {list(TASKS)}")
        self.trunk = SqueezeTrunk(squeeze, shift=shift)
        self.features = _feature_network(features) if features else None
        if features:
            self.register_buffer("feature_low", torch.zeros(features))
            self.register_buffer("feature_high", torch.ones(features))
        self.specific = nn.ModuleDict(
            {task: nn.Sequential(nn.Dropout(DROPOUT), *_pooled(TRUNK_CHANNELS, TASK_CHANNELS)) for task in tasks}
        )
        known = TASK_CHANNELS * (2 if features else 1)
        self.decision = nn.ModuleDict({task: nn.Sequential(nn.ReLU(), nn.Linear(known, TASKS[task])) for task in tasks})
        self.log_variance = nn.Parameter(torch.zeros(len(tasks))) if uncertainty else None
        he_initialised(self.specific)

    def forward(self, x: Tensor, features: Tensor | None = None) -> dict[str, Tensor]:
        """Volumes (N, 1, D, H, W) and, where the network has a branch for them, features (N, F) as extracted; logits
        (N, classes) by task. Raises ValueError on features that are missing or not expected."""
        return self.decide(self.trunk(x), self._learned(features))

    def decide(self, maps: Tensor, beside: Tensor | None = None) -> dict[str, Tensor]:
        """Logits by task from the trunk's maps (N, 512, d, h, w), and what the features say (N, 32)."""
        found = {}
        for task, specific in self.specific.items():
            seen = specific(maps)  # (N, 32)
            found[task] = self.decision[task](seen if beside is None else torch.cat([seen, beside], dim=1))
        return found

    def _learned(self, features: Tensor | None) -> Tensor | None:
        if (features is None) != (self.features is None):
            raise ValueError("features are missing" if features is None else "this network takes no features")
        if features is None or self.features is None:
            return None
        low, high = self.get_buffer("feature_low"), self.get_buffer("feature_high")
        # A feature that is constant in the training data says nothing: 0.
        scaled = torch.where(high > low, (features - low) / (high - low).clamp(min=1e-30), 0.0)
        learned: Tensor = self.features(scaled)
        return learned


class CovidMTLTransfer(CovidMTL):
    """Model 13: COVID-MTL for the two diagnoses, and severity from the same, then frozen, trunk by one linear layer.

    The paper replaces the layers of the diagnoses; here they stay beside the new one, and one pass serves all three.
    """

    def __init__(self, *, shift: bool = True, uncertainty: bool = False, squeeze: int = 32) -> None:
        super().__init__(tuple(DIAGNOSES), shift=shift, uncertainty=uncertainty, squeeze=squeeze)
        self.severity = nn.Linear(TRUNK_CHANNELS, TASKS["severity"])

    def forward(self, x: Tensor, features: Tensor | None = None) -> dict[str, Tensor]:
        maps = self.trunk(x)
        return {**self.decide(maps, self._learned(features)), "severity": self.severity(maps.mean(dim=(2, 3, 4)))}


def _norm(channels: int) -> nn.BatchNorm3d:
    return nn.BatchNorm3d(channels, eps=EPSILON, momentum=MOMENTUM)


def _pooled(channels: int, out: int) -> Sequence[nn.Module]:
    """A point-wise convolution, ReLU, and the mean over space: (N, C, d, h, w) to (N, out)."""
    return nn.Conv3d(channels, out, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten()


def _feature_network(features: int) -> nn.Sequential:
    """The auxiliary network of features (AFNN): ReLU between the layers, none at the end."""
    layers: list[nn.Module] = []
    for a, b in pairwise((features, *HIDDEN)):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(HIDDEN[-1], TASK_CHANNELS))
