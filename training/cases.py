"""Cases with their truth, and what a data set offers to be judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.severity import LEFT, RIGHT
from models.volume import Volume
from training.phantom.case import Rendered

THIN_MM, THICK_MM = 1.5, 4.0  # groups of slice thickness


def thickness_group(thickness_mm: float) -> str:
    if thickness_mm > THICK_MM:
        return f"above {THICK_MM:g} mm"
    return f"up to {THIN_MM if thickness_mm <= THIN_MM else THICK_MM:g} mm"


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """One case with its truth. `kind` is "covid", "cap", "atelectasis", "normal" or another pathology's name; `labels`
    or `lesions` None: the data set does not say, and nothing is computed that would need it. `picture`: one slice of
    unknown scale, in which no model looks for lungs: the triage is given those that are known, or all of it."""

    name: str
    kind: str
    volume: Volume
    labels: NDArray[np.uint8] | None  # 0, RIGHT, LEFT
    lesions: NDArray[np.bool_] | None
    descriptors: Mapping[str, float] = field(default_factory=dict)  # of the true lesions, for the reference row
    groups: Mapping[str, str] = field(default_factory=dict)  # what it belongs to, by what: {"kernel": "FC51", ...}
    picture: bool = False


class Cases(Protocol):
    """A data set to judge by. Processes are handed copies: an implementation holds settings, and reads or draws a case
    when it is asked for."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str:
        """What it is, in one line."""

    @property
    def synthetic(self) -> bool: ...

    def __len__(self) -> int: ...

    def origin(self, number: int) -> str:
        """What decides how a case looks. What was measured on a case of another origin is measured again."""

    def __getitem__(self, number: int) -> HeldOut: ...


def held_out(
    name: str,
    kind: str,
    shown: Rendered,
    descriptors: Mapping[str, float] | None = None,
    groups: Mapping[str, str] | None = None,
) -> HeldOut:
    """A scanned phantom as a case."""
    truth = shown.truth
    labels = np.zeros(shown.volume.shape, np.uint8)
    labels[truth.right_lung], labels[truth.left_lung] = RIGHT, LEFT
    return HeldOut(
        name=name,
        kind=kind,
        volume=shown.volume,
        labels=labels,
        lesions=truth.right_lesion | truth.left_lesion,
        descriptors=descriptors or {},
        groups=groups or {},
    )
