"""Slices of synthetic patients for networks that see one at a time, stretched to the plane of the specification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray

from models.prepare import on_case, prepare
from models.severity import LEFT, RIGHT
from models.slicewise import LUNG_SHARE
from training.datasets.diagnoses import DIAGNOSIS
from training.datasets.phantom import POSITIVE, Library, Patient, Phantoms, joined, volume_of
from training.datasets.stored import DataError
from training.recipe import Batch

SEEDED = 42  # which patients of a kind are annotated


@dataclass(frozen=True, kw_only=True)
class LabelledSlices(Phantoms):
    """A patient of a kind drawn by its share, then one of his slices: one with lesions where he has any and
    `lesions_first`, else one that shows lung.

    Batches: image (N, 1, H, W); lesions likewise, 0 or 1, NaN where nothing is said; lungs (N, H, W), 0, 1 right or 2
    left; covid (N,), 0 or 1; diagnosis (N,), a class number.
    """

    slices: int  # per batch
    shares: Mapping[str, float]  # of the kinds
    annotated: Mapping[str, float]  # share of the patients of each kind whose lesions the network is told; 0 elsewhere
    told_only: bool = False  # draw annotated patients alone
    lesions_first: bool = True  # else any slice that shows lung stands for its patient

    def batch(self, rng: np.random.Generator) -> Batch:
        return joined([self._drawn(rng) for _ in range(self.slices)])

    def validation(self) -> Iterator[Batch]:
        """One slice of each patient per batch: that with most lesion, or with most lung."""
        for index in self.chosen():
            patient = self.held_out[index]
            if patient.lungs.any():
                seen = patient.lesions & patient.lungs
                areas = (seen if seen.any() else patient.lungs).sum(axis=(1, 2))
                yield self._sample(patient, self.held_out.kinds[index], int(areas.argmax()), told=patient.annotated)

    def _drawn(self, rng: np.random.Generator) -> Batch:
        told_of = {kind: annotated(self.train, kind, self.annotated.get(kind, 0.0)) for kind in self.shares}
        kinds = [kind for kind in self.shares if (told_of[kind] if self.told_only else kind in self.train.kinds)]
        if not kinds:
            what = "annotated patient" if self.told_only else "patient"
            raise DataError(f"{self.train.description}: no {what} of kind {', '.join(self.shares)}")
        weights = np.array([self.shares[kind] for kind in kinds])
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        told = told_of[kind]
        of_kind = told if self.told_only else [n for n, k in enumerate(self.train.kinds) if k == kind]
        number = of_kind[int(rng.integers(len(of_kind)))]
        patient = self.train[number]
        shown = candidates(patient, lesions_first=self.lesions_first)
        if shown.size == 0:
            raise DataError(f"patient {number} of {self.train.description} has no lungs: leave him out")
        return self._sample(patient, kind, int(rng.choice(shown)), told=number in told)

    def _sample(self, patient: Patient, kind: str, s: int, *, told: bool) -> Batch:
        one = slice(s, s + 1)
        case = prepare(volume_of(patient, patient.hu[one]), self.spec, patient.lungs[one])

        lesions, right, left = (
            torch.from_numpy(on_case(np.ascontiguousarray(mask), case))
            for mask in ((patient.lesions & patient.lungs)[one], *sides(patient, s))
        )
        known = lesions.float()[:, None]
        return {
            "image": torch.from_numpy(np.ascontiguousarray(case.image))[:, None],
            "lesions": known if told else torch.full_like(known, torch.nan),
            "lungs": right.long() * RIGHT + (left & ~right).long() * LEFT,
            "covid": torch.tensor([float(kind == POSITIVE)]),
            "diagnosis": torch.tensor([DIAGNOSIS[kind]]),
        }


@dataclass(frozen=True, kw_only=True)
class WithUnlabelled:
    """Slices whose lesions are told, and as many of whom nothing is told: their pictures as `unlabelled`."""

    labelled: LabelledSlices
    unlabelled: LabelledSlices

    @property
    def digest(self) -> str:
        return self.labelled.digest

    @property
    def description(self) -> str:
        return f"{self.labelled.description}; pseudo-labels where lesions are not told"

    @property
    def synthetic(self) -> bool:
        return self.labelled.synthetic

    def batch(self, rng: np.random.Generator) -> Batch:
        return {**self.labelled.batch(rng), "unlabelled": self.unlabelled.batch(rng)["image"]}

    def validation(self) -> Iterator[Batch]:
        return self.labelled.validation()


def candidates(patient: Patient, *, lesions_first: bool) -> NDArray[np.intp]:
    """Slices that a picture of this patient may show."""
    seen = np.flatnonzero((patient.lesions & patient.lungs).any(axis=(1, 2)))
    if lesions_first and seen.size:
        return seen
    share = patient.lungs.mean(axis=(1, 2))
    return np.flatnonzero((share > 0) & (share >= min(LUNG_SHARE, float(share.max()))))


def annotated(library: Library, kind: str, share: float) -> list[int]:
    """Which annotated patients of a kind the network is told of: always the same, at least one where the share is not
    0 and there are any."""
    of_kind = np.array([n for n, k in enumerate(library.kinds) if k == kind and library.annotated[n]], dtype=np.intp)
    chosen = np.random.default_rng(SEEDED).permutation(of_kind)[: ceil(share * of_kind.size)]
    return sorted(int(n) for n in chosen)


def sides(patient: Patient, s: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Right and left lung of one slice, (1, row, column): on the library's grid columns grow towards the patient's
    left, and the lungs lie on both sides of the middle of their own box."""
    columns = np.flatnonzero(patient.lungs.any(axis=(0, 1)))
    middle = (columns[0] + columns[-1] + 1) // 2 if columns.size else 0
    is_right = np.arange(patient.lungs.shape[2]) < middle
    lungs = patient.lungs[s : s + 1]
    return lungs & is_right, lungs & ~is_right
