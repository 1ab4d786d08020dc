"""Volume to Prediction: lungs, sides, triage model, severity, and the numbers a quality gate needs.

The pipeline refuses only where it cannot go on (`NotAVolume`: no_axial_ct, no_lungs). Whether a result may be believed
is decided by its caller, from `Prediction.extent`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.cards import Card
from models.extent import Extent, extent
from models.predict import resolve
from models.refusal import NotAVolume, Refusal
from models.severity import Floor, Severity, severity
from models.volume import Volume

T = TypeVar("T")
Progress = Callable[[str], None]  # called with the name of each stage as it begins


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One algorithm that took part; the fields of `triaged.records.ModelIdentity`."""

    role: str
    name: str
    version: str
    sha256: str
    synthetic: bool
    parameters: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What the models see in one volume. Masks are on the volume's grid; None means "this model does not say"."""

    volume: Volume
    labels: NDArray[np.uint8]  # 0, severity.RIGHT, severity.LEFT
    lesions: NDArray[np.bool_] | None
    probability: float | None
    class_probabilities: Mapping[str, float] | None
    severity: Severity | None
    extent: Extent
    sides_by_size: bool
    identities: tuple[Identity, ...]
    seconds: Mapping[str, float]


class Pipeline:
    """Two roles filled by name; made once per worker, run once per study.

    Raises `predict.UnknownModel` or `bundle.BundleError` where a role cannot be filled.
    """

    def __init__(
        self,
        lungs: str = "classical-lungs",
        triage: str = "thresholding",
        device: str = "cpu",
        floor: Floor | None = None,
    ) -> None:
        self._lungs = resolve(lungs, "lungs", device)
        self._triage = resolve(triage, "triage", device)
        self._floor = floor or Floor()
        self.device = device

    @property
    def identities(self) -> tuple[Identity, ...]:
        return _identity("lungs", self._lungs.card), _identity("triage", self._triage.card)

    @property
    def triage_card(self) -> Card:
        return self._triage.card

    def run(self, volume: Volume, progress: Progress | None = None) -> Prediction:
        """Raises NotAVolume where there is nothing to measure."""
        clock = _Stages(progress)
        _require_axial(volume)
        with_lungs = clock.time("lungs", lambda: self._lungs.lungs(volume))
        labels = with_lungs.labels
        if not labels.any():
            raise NotAVolume(Refusal.NO_LUNGS, "no lungs found: not a chest, or both lungs opaque")
        result = clock.time("triage", lambda: self._triage.triage(volume, with_lungs))
        found = result.lesions
        measured = clock.time("extent", lambda: extent(volume, labels))
        graded = None
        if found is not None:
            graded = clock.time("severity", lambda: severity(labels, found, volume.voxel_ml, self._floor))
        return Prediction(
            volume=volume,
            labels=labels,
            lesions=found,
            probability=result.probability,
            class_probabilities=result.class_probabilities,
            severity=graded,
            extent=measured,
            sides_by_size=with_lungs.sides_by_size,
            identities=self.identities,
            seconds=clock.seconds,
        )


def _identity(role: str, card: Card) -> Identity:
    return Identity(
        role=role,
        name=card.name,
        version=card.version,
        sha256=card.sha256,
        synthetic=card.synthetic,
        parameters=card.parameters,
    )


def _require_axial(volume: Volume) -> None:
    across = np.abs(volume.affine_lps[:3, 0])
    if volume.oriented and int(across.argmax()) != 2:
        raise NotAVolume(Refusal.NO_AXIAL_CT, "the slices are not axial")


class _Stages:
    """Seconds per stage, by the name each stage reports."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    def time(self, name: str, stage: Callable[[], T]) -> T:
        if self._progress is not None:
            self._progress(name)
        began = time.perf_counter()
        result = stage()
        self.seconds[name] = round(time.perf_counter() - began, 3)
        return result
