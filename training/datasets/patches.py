"""Synthetic patients as DeepSC-COVID reads them: a patch with its lesions, its place, the scan it is of, a class.

How patches are drawn is that of the authors' CT-COVID (its loader); the paper says only that they are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.case import Box, Case
from models.deepsc_triage import Shape, overview, place_of, side_by_side
from models.prepare import cut, on_case, prepare
from training.datasets.diagnoses import DIAGNOSIS
from training.datasets.phantom import Library, Patient, Phantoms, joined, volume_of
from training.datasets.stored import DataError
from training.recipe import Batch

AFTER_LESIONS = 0.6  # of the patches: the first of so many drawn ones that holds so much lesion, if one does
TRIES, LESION_SHARE = 50, 0.01
# Those lie inside pixels 100 to 412 of 512, and 30 slices away from both ends of a scan of at least 100.
INNER_PLANE, INNER_SLICES, LONG = (100 / 512, 412 / 512), 30, 100


@dataclass(frozen=True, kw_only=True)
class ScanPatches(Phantoms):
    """Batches: patches and their lesions (N, 1, d, h, w), 0 or 1, NaN where nothing is said; places (N, 3, 2); scans
    (N, 1, D, H, W); diagnosis (N,), a class number; weight (N,), the inverse frequency of that class.

    Validation: one patient per batch, with all patches that show lung, (P, 1, d, h, w), and his scan (1, 1, D, H, W).
    """

    scans: int  # per batch, of different patients where there are so many
    annotated: Sequence[str]  # kinds whose lesions the network is told

    def batch(self, rng: np.random.Generator) -> Batch:
        patients = len(self.train.kinds)
        chosen = rng.choice(patients, self.scans, replace=patients < self.scans)
        return joined([self._sample(int(number), rng) for number in chosen])

    def validation(self) -> Iterator[Batch]:
        for number in self.chosen():
            kind, patient = self.held_out.kinds[number], _with_lungs(self.held_out, number)
            case = prepare(volume_of(patient), self.spec, patient.lungs)
            boxes = [box for box in side_by_side(case.image.shape, self._tile) if cut(case.image, box).any()]
            yield self._shown(kind, case, _lesions(patient, case), boxes, told=patient.annotated)

    def _sample(self, number: int, rng: np.random.Generator) -> Batch:
        kind, patient = self.train.kinds[number], _with_lungs(self.train, number)
        case = prepare(volume_of(patient), self.spec, patient.lungs)
        lesions = _lesions(patient, case)
        box = drawn_box(lesions, self._tile, rng)
        told = patient.annotated and kind in self.annotated
        shown = self._shown(kind, case, lesions, [box], told=told)
        return {**shown, "weight": torch.tensor([self._weight(kind)])}

    def _shown(
        self, kind: str, case: Case, lesions: NDArray[np.bool_], boxes: Sequence[Box], *, told: bool
    ) -> dict[str, torch.Tensor]:
        patches = torch.from_numpy(np.stack([cut(case.image, box) for box in boxes]))[:, None]
        truth = torch.from_numpy(np.stack([cut(lesions, box) for box in boxes]).astype(np.float32))[:, None]
        if self.spec.overview is None:
            raise ValueError("the specification does not say how large the overview is")
        return {
            "patches": patches,
            "lesions": truth if told else torch.full_like(truth, torch.nan),
            "places": torch.stack([place_of(box, case.image.shape) for box in boxes]),
            "scans": overview(case.image, self.spec.overview),
            "diagnosis": torch.tensor([DIAGNOSIS[kind]]),
        }

    def _weight(self, kind: str) -> float:
        """1 where all classes are equally frequent."""
        classes = [DIAGNOSIS[k] for k in self.train.kinds]
        return len(classes) / (len(set(classes)) * classes.count(DIAGNOSIS[kind]))

    @property
    def _tile(self) -> Shape:
        if self.spec.tile is None:
            raise ValueError("the specification does not say how large a patch is")
        return self.spec.tile


def drawn_box(lesions: NDArray[np.bool_], tile: Shape, rng: np.random.Generator) -> Box:
    """Where the next patch is cut from a scan with these lesions; along an axis that is shorter than the patch, from
    its beginning."""
    shape = lesions.shape
    if rng.random() < AFTER_LESIONS and lesions.any():
        inner = [_inner(n, step, slices=axis == 0) for axis, (n, step) in enumerate(zip(shape, tile, strict=True))]
        for _ in range(TRIES):
            box = _box(inner, tile, rng)
            if cut(lesions, box).mean() >= LESION_SHARE:
                return box
    return _box([(0, n) for n in shape], tile, rng)


def _inner(length: int, step: int, *, slices: bool) -> tuple[int, int]:
    """The part of an axis that patches with lesions are drawn from; all of it where a patch does not fit in that."""
    if slices:
        low, high = (INNER_SLICES, length - INNER_SLICES) if length >= LONG else (0, length)
    else:
        low, high = round(INNER_PLANE[0] * length), round(INNER_PLANE[1] * length)
    return (low, high) if high - low >= step else (0, length)


def _box(within: Sequence[tuple[int, int]], tile: Shape, rng: np.random.Generator) -> Box:
    first = [int(rng.integers(low, max(low, high - n) + 1)) for (low, high), n in zip(within, tile, strict=True)]
    s, r, c = ((f, f + n) for f, n in zip(first, tile, strict=True))
    return s, r, c


def _lesions(patient: Patient, case: Case) -> NDArray[np.bool_]:
    return on_case(patient.lesions & patient.lungs, case)


def _with_lungs(library: Library, number: int) -> Patient:
    patient = library[number]
    if not patient.lungs.any():
        raise DataError(f"patient {number} of {library.description} has no lungs: leave him out")
    return patient
