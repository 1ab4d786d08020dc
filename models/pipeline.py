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

from models import crosscheck
from models.cards import Card
from models.crosscheck import Crosscheck
from models.extent import Extent, extent
from models.familiar import Unfamiliar, features, unfamiliar
from models.opacity import unexplained
from models.predict import LungMasks, TriagePredictor, TriageResult, resolve
from models.refusal import NotAVolume, Refusal
from models.severity import Floor, Severity, severity
from models.volume import Volume

T = TypeVar("T")
CHECKER = "classical-lungs"
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
    identities: tuple[Identity, ...]  # of what answered for this study: where learned lungs failed, the classical ones
    seconds: Mapping[str, float]
    crosscheck: Crosscheck | None = None  # of learned lungs by classical ones; None where no network found the lungs
    unfamiliar: tuple[Unfamiliar, ...] = ()  # how the input is unlike what the networks were trained on
    unexplained: tuple[float, float] = (0.0, 0.0)  # share of right and left lung that is dense and no lesion
    tasks: Mapping[str, Mapping[str, float]] | None = None  # every class of every task, of a model that has several


class Pipeline:
    """Two roles filled by name; made once per worker, run once per study. Learned lungs are checked by CHECKER, which
    stands in where they fail.

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
        self._checker = resolve(CHECKER, "lungs") if self._lungs.card.architecture else None
        self._triage = resolve(triage, "triage", device)
        self._floor = floor or Floor()
        self.device = device

    @property
    def identities(self) -> tuple[Identity, ...]:
        return _identity("lungs", self._lungs.card), _identity("triage", self._triage.card)

    @property
    def triage(self) -> TriagePredictor:
        """For whoever knows the lungs."""
        return self._triage

    @property
    def triage_card(self) -> Card:
        return self._triage.card

    def run(self, volume: Volume, progress: Progress | None = None) -> Prediction:
        """Raises NotAVolume where there is nothing to measure."""
        clock = _Stages(progress)
        _require_axial(volume)
        lungs = clock.time("lungs", lambda: self._lungs.lungs(volume))
        used, check = self._lungs.card, None
        if self._checker is not None:
            lungs, used, check = clock.time("cross-check", lambda: self._checked(volume, lungs))
        labels = lungs.labels
        if not labels.any():
            raise NotAVolume(Refusal.NO_LUNGS, "no lungs found: not a chest, or both lungs opaque")
        result = clock.time("triage", lambda: self._triage.triage(volume, lungs))
        strange: tuple[Unfamiliar, ...] = ()
        if used.familiar or self._triage.card.familiar:
            strange = clock.time("familiarity", lambda: self._strange(volume, used, lungs, result))
        measured = clock.time("extent", lambda: extent(volume, labels))
        found, graded = result.lesions, None
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
            sides_by_size=lungs.sides_by_size,
            identities=(_identity("lungs", used), _identity("triage", self._triage.card)),
            seconds=clock.seconds,
            crosscheck=check,
            unfamiliar=strange,
            unexplained=unexplained(volume.hu, labels, found),
            tasks=result.tasks,
        )

    def _checked(self, volume: Volume, learned: LungMasks) -> tuple[LungMasks, Card, Crosscheck]:
        """The lungs to go on with, and whose they are."""
        assert self._checker is not None
        classical = self._checker.lungs(volume)
        check = crosscheck.compare(volume.hu, learned.labels, classical.labels, volume.voxel_ml)
        if check.verdict is crosscheck.Verdict.FAILED:
            return classical, self._checker.card, check
        return learned, self._lungs.card, check

    def _strange(self, volume: Volume, used: Card, lungs: LungMasks, result: TriageResult) -> tuple[Unfamiliar, ...]:
        """Each network by its own doubt; a method without ranges says nothing."""
        found = features(volume, lungs.labels > 0)
        doubts = ((used, lungs.doubt), (self._triage.card, result.doubt))
        return tuple(
            each
            for card, doubt in doubts
            for each in unfamiliar(found if doubt is None else found | {"undecided": doubt}, card)
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
