"""Series of synthetic patients with a diagnosis: the three classes of DeepSC-COVID's classifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from models.case import InputSpec
from models.prepare import prepare, thinned
from training.augment import Pose, intensity
from training.datasets.phantom import Patient, Phantoms, drawn, maps_of, padded, posed, volume_of
from training.recipe import Batch

# Numbers of `models.volume_triage.DIAGNOSES`: COVID-19, community-acquired pneumonia, non-pneumonia.
DIAGNOSIS: Mapping[str, int] = {"covid": 0, "cap": 1, "normal": 2, "other": 2}


@dataclass(frozen=True, kw_only=True)
class DiagnosedSeries(Phantoms):
    """Batches: image and lungs (S, 1, H, W) of all series one after the other, at most `depth` slices of each; sizes
    (N, 3), the slices, rows and columns of each series; diagnosis (N,), a class number."""

    series: int  # per batch
    shares: Mapping[str, float]  # of the kinds

    def batch(self, rng: np.random.Generator) -> Batch:
        return padded([self._series(*drawn(self.train, self.shares, rng), rng) for _ in range(self.series)])

    def validation(self) -> Iterator[Batch]:
        """One patient per batch, prepared as for serving."""
        for index in self.chosen():
            patient = self.held_out[index]
            if patient.lungs.any():
                yield self._series(patient, self.held_out.kinds[index], None)

    def _series(self, patient: Patient, kind: str, rng: np.random.Generator | None) -> Batch:
        hu, how = patient.hu, self.augmentation
        if rng is not None and how is not None:
            hu = intensity(hu, rng, how)
        case = prepare(volume_of(patient, hu), self.spec, patient.lungs)
        read = thinned(case.image.shape[0], self.spec.depth, _offset(case.image.shape[0], self.spec, rng))
        inside = np.zeros(case.image.shape, dtype=np.bool_) if case.lungs is None else case.lungs
        maps = maps_of(case.image[read], lungs=inside[read])
        plane = case.image.shape[1], case.image.shape[2]
        if rng is not None and how is not None:
            maps = posed(maps, Pose.drawn(rng, how, plane, plane), plane)
        return {
            **maps,
            "sizes": torch.tensor([[len(read), *plane]]),
            "diagnosis": torch.tensor([DIAGNOSIS[kind]]),
        }


def _offset(slices: int, spec: InputSpec, rng: np.random.Generator | None) -> int | None:
    """Where thinning begins: anywhere while training, in the middle for serving."""
    if rng is None or spec.depth is None:
        return None
    return int(rng.integers(-(-slices // spec.depth)))
