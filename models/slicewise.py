"""Networks that see slices one by one, in the two roles: what they say of slices becomes what is said of a study.

Slices are prepared by the card's `InputSpec`, whose aggregator says how their scores become one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import classical
from models.bundle import Bundle, BundleError
from models.case import Aggregator, Case
from models.familiar import undecided
from models.maps import WithNetwork, lesions_of, on_volume, slices_of
from models.morphology import components
from models.network import LUNG_LEVEL
from models.predict import LungMasks, TriageResult
from models.prepare import prepare, thinned
from models.sides import middle_of, split
from models.volume import Volume

LESION_LEVEL = 0.5  # no paper but CT triage's says another
# A slice is scored where so much of its picture is lung; in the tips of the lungs there is nothing to tell by.
LUNG_SHARE = 0.02
TOP = 0.1  # share of the slices that Aggregator.TOP_TENTH looks at
BATCH_PIXELS = 600_000  # that pass a network at a time: nine slices of 256 x 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What a network says of n slices: probabilities of lesion (n, H, W), of COVID-19 (n,) or of the card's classes
    (n, K); None where it does not say."""

    lesions: Tensor | None = None
    scores: Tensor | None = None


Read = Callable[[nn.Module, Tensor], Reading]


def three_tasks(network: nn.Module, x: Tensor) -> Reading:
    """Of a `ThreeTaskNet`; the picture that it draws anew serves training alone."""
    levels = network.encoder(x)  # type: ignore[operator]
    lesions, scores = network.segmentation, network.classification
    return Reading(
        lesions=None if lesions is None else torch.sigmoid(lesions(levels))[:, 0],  # type: ignore[operator]
        scores=None if scores is None else torch.sigmoid(scores(levels[-1]))[:, 0],  # type: ignore[operator]
    )


def one_score(network: nn.Module, x: Tensor) -> Reading:
    return Reading(scores=torch.sigmoid(network(x)))


def classes(network: nn.Module, x: Tensor) -> Reading:
    return Reading(scores=torch.softmax(network(x), dim=1))


def finest_map(network: nn.Module, x: Tensor) -> Reading:
    """Of an `InfNet`. Its authors stretch the map of each slice to [0, 1], which finds a lesion in every slice: they
    show it slices with lesions only. Here the probability stays what it is."""
    return Reading(lesions=torch.sigmoid(network(x)[0][:, 0]))


class SliceTriage(WithNetwork[nn.Module]):
    """Role triage: lesions slice by slice where the network segments, and a score where it scores slices.

    The score is that of at most `depth` slices that show lung, as the card's aggregator has it.
    """

    def __init__(self, bundle: Bundle, device: str, read: Read) -> None:
        super().__init__(bundle, device, nn.Module)
        self._read = read
        self._level = self.card.thresholds.get("lesion", LESION_LEVEL)
        self._names = next(iter(self.card.classes.values()), ())

    @torch.inference_mode()
    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        """Raises ValueError where there are no lungs."""
        inside = lungs.labels > 0
        if not inside.any():
            raise ValueError("a network that reads slices with lung needs lungs, and there are none")
        case = prepare(volume, self._spec, inside)
        scored = with_lung(case, self._spec.depth)
        likely, scores = self._all(case, scored)
        found = lesions_of(likely, case, self._level, inside)
        if scores is None:
            return found
        if self._spec.aggregator is None:
            raise BundleError(f"{self.card.name}: the card does not say how slices become a study")
        study = aggregated(scores, self._spec.aggregator)
        if study.size == 1:
            return replace(found, probability=float(study[0]))
        if study.size != len(self._names):
            raise BundleError(f"{self.card.name}: {study.size} answers for the classes {self._names}")
        named = dict(zip(self._names, study.tolist(), strict=True))
        return replace(found, probability=float(study[0]), class_probabilities=named)

    def _all(
        self, case: Case, scored: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Lesions of every slice that shows lung, and the scores of those in `scored`; no slice passes for nothing."""
        segments = "lesions" in self.card.outputs
        wanted = scored
        if segments and case.lungs is not None:
            wanted = np.flatnonzero(case.lungs.any(axis=(1, 2)))
        likely = np.zeros(case.image.shape, dtype=np.float32) if segments else None
        scores = []
        for part, x in slices_of(case.image[wanted], self._device, BATCH_PIXELS):
            found, chosen = self._read(self._network, x), np.isin(wanted[part], scored)
            if likely is not None and found.lesions is not None:
                likely[wanted[part]] = found.lesions.cpu().numpy()
            if found.scores is not None:
                scores.append(found.scores.cpu().numpy()[chosen])
        return likely, np.concatenate(scores) if scores else None


class SliceLungs(WithNetwork[nn.Module]):
    """Role lungs: a network that is shown each slice by itself, with a frame of its own where the card's mask policy
    is `body`. Fragments are left out as the classical lungs do, and the sides are those of model 31, which follow the
    patient's orientation: what the network itself calls left is the left of the usual display."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        super().__init__(bundle, device, nn.Module)
        self._level = self.card.thresholds.get("lung", LUNG_LEVEL)

    @torch.inference_mode()
    def lungs(self, volume: Volume) -> LungMasks:
        found = np.zeros(volume.shape, dtype=np.bool_)
        lung = unsure = 0  # pixels on the network's plane
        for s in range(volume.shape[0]):
            case = prepare(replace(volume, hu=volume.hu[s : s + 1], sources=()), self._spec)
            x = torch.from_numpy(np.ascontiguousarray(case.image))[None].to(self._device)
            likely = (1.0 - torch.softmax(self._network(x), dim=1)[:, 0]).cpu().numpy()
            found[s] = on_volume(likely, case, self._level)[0]
            lung, unsure = lung + int((likely > self._level).sum()), unsure + undecided(likely)
        found = components(found, round(classical.SMALLEST_FRAGMENT_ML / volume.voxel_ml)) > 0
        labels = np.zeros(volume.shape, dtype=np.uint8)
        if found.any():
            middle_mm = middle_of(classical.body_mask(volume.hu, volume.spacing_mm), volume.affine_lps)
            labels = split(found, volume.affine_lps, oriented=volume.oriented, middle_mm=middle_mm)
        return LungMasks(labels=labels, sides_by_size=not volume.oriented, doubt=unsure / lung if lung else None)


def with_lung(case: Case, depth: int | None = None) -> NDArray[np.intp]:
    """Slices of a case that show enough lung to be scored, thinned to `depth`; the one that shows most where none
    shows enough. Raises ValueError where the case has no lungs."""
    if case.lungs is None or not case.lungs.any():
        raise ValueError("no slice shows lung")
    share = case.lungs.mean(axis=(1, 2))
    shown = np.flatnonzero(share >= min(LUNG_SHARE, float(share.max())))
    return shown[thinned(shown.size, depth)]


def aggregated(scores: NDArray[np.float32], how: Aggregator) -> NDArray[np.float32]:
    """Scores of slices (n,) or (n, K) as those of the study, (1,) or (K,). The first class decides which slices are
    the highest."""
    table = scores.reshape(len(scores), -1)
    if how is Aggregator.MEAN:
        kept = table
    else:
        count = 1 if how is Aggregator.MAXIMUM else max(1, ceil(TOP * len(table)))
        kept = table[np.argsort(-table[:, 0], kind="stable")[:count]]
    study: NDArray[np.float32] = kept.mean(axis=0)
    return study
