"""Patients as whole volumes with a class for each task: masked, resampled, standardised by `models.prepare`.

Of drawn patients COVID-MTL's labels are simulated. Real ones bring theirs along; that of the CT, which is whether there
is pneumonia, follows from their kind where it is not said, those of swab and course from nothing.
What COVID-MTL's training does to a volume beside that (section 5.1; amounts as its published utils.py has them): the
box is moved, noise is added, the picture is turned in-plane or flipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.case import InputSpec
from models.maps import stretched
from models.prepare import prepare
from training.datasets.measured import Table
from training.datasets.phantom import Library, Patient, Phantoms, joined, volume_of
from training.datasets.simulated_labels import simulated_labels
from training.datasets.stored import DataError
from training.recipe import Batch

Labels = Callable[[str, float], Mapping[str, int]]  # kind and affected share of the lungs to class by task
Move = tuple[int, int, int]

# How far the box is moved from the middle, mm: it starts at 50 to 100 (slices) and at 20 to 80 (rows, columns) where 70
# is the middle, in steps of 10.
SLICES_MM, PLANE_MM = np.arange(-20, 31, 10), np.arange(-50, 11, 10)
OF_KIND = "CT"  # the task whose label follows from the kind of a patient
NOISE_CHANCE, NOISE_VARIANCE = 0.2, (10.0, 50.0)  # HU^2


@dataclass(frozen=True, kw_only=True)
class ClassifiedVolumes(Phantoms):
    """Batches: image (N, 1, D, H, W), class numbers (N,) under the name of each task, -1 where nobody knows, and
    features (N, F) where there are any."""

    labels: Labels
    tasks: Sequence[str]
    volumes: int  # per batch, of different patients where there are so many
    augment: bool = False
    features: tuple[Table, Table] | None = None  # of those trained on, and of those held out

    def batch(self, rng: np.random.Generator) -> Batch:
        patients = len(self.train.kinds)
        chosen = rng.choice(patients, self.volumes, replace=patients < self.volumes)
        return joined([self._sample(self.train, int(n), rng if self.augment else None) for n in chosen])

    def validation(self) -> Iterator[Batch]:
        """One patient per batch, prepared as for serving."""
        for n in self.chosen():
            yield self._sample(self.held_out, n, None)

    def _sample(self, library: Library, number: int, rng: np.random.Generator | None) -> Batch:
        patient = library[number]
        if not patient.lungs.any():
            raise DataError(f"patient {number} of {library.description} has no lungs: leave him out")
        moved = (0, 0, 0) if rng is None else drawn_move(rng, _grid_mm(self.spec, patient.spacing_mm))
        image = prepare(volume_of(patient), self.spec, patient.lungs, moved).image
        if rng is not None:
            image = turned(noisy(image, rng, self.spec), rng)
        classes = self._classes(patient, library, number)
        x = torch.from_numpy(np.ascontiguousarray(image))[None, None]
        beside: dict[str, torch.Tensor] = {}
        if self.features is not None:
            table = self.features[0] if library is self.train else self.features[1]
            beside["features"] = torch.from_numpy(table[number : number + 1])
        return {
            **beside,
            "image": x if self.spec.resized is None else stretched(x, self.spec.resized),
            **{task: torch.tensor([classes[task]]) for task in self.tasks},
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        for library in (self.train, self.held_out):
            missing = set(self.tasks) - {OF_KIND} - {task for known in library.labels for task in known}
            if self._are_real(library) and missing:
                advice = "prepare them with columns of these names in cases.csv, or as ictcf"
                raise DataError(
                    f"{library.description}: nobody says {', '.join(sorted(missing))} of any patient; {advice}"
                )

    def _are_real(self, library: Library) -> bool:
        """Whether the labels would be simulated, and must not be."""
        return self.labels is simulated_labels and not library.synthetic

    def _classes(self, patient: Patient, library: Library, number: int) -> Mapping[str, int]:
        """Where lesions are not annotated, a class that hangs on how much of the lungs is affected is not known."""
        kind = library.kinds[number]
        if self._are_real(library):
            known = {OF_KIND: self.labels(kind, 0.0)[OF_KIND], **library.labels[number]}
            return {task: known.get(task, -1) for task in self.tasks}
        if patient.annotated:
            return self.labels(kind, float((patient.lesions & patient.lungs).sum() / patient.lungs.sum()))
        least, most = self.labels(kind, 0.0), self.labels(kind, 1.0)
        return {task: n if n == most[task] else -1 for task, n in least.items()}


def drawn_move(rng: np.random.Generator, grid_mm: tuple[float, float, float]) -> Move:
    """Voxels (slice, row, column) by which the box leaves the middle."""
    s, r, c = (
        round(int(rng.choice(mm)) / step) for mm, step in zip((SLICES_MM, PLANE_MM, PLANE_MM), grid_mm, strict=True)
    )
    return s, r, c


def noisy(image: NDArray[np.float32], rng: np.random.Generator, spec: InputSpec) -> NDArray[np.float32]:
    """One picture in five with Gaussian noise, of 3 to 7 HU."""
    if rng.random() >= NOISE_CHANCE:
        return image
    hu = spec.window_hu[1] - spec.window_hu[0]
    if spec.mean_sd is not None:
        hu *= spec.mean_sd[1]
    level = float(np.sqrt(rng.uniform(*NOISE_VARIANCE))) / hu
    return image + np.float32(level) * rng.standard_normal(image.shape, dtype=np.float32)


def turned(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """In-plane by 90 degrees (3 of 21), 180 (2), or any multiple of 90 (1); flipped along the rows (3); else as it is.

    A plane that is not square is turned by 180 degrees only.
    """
    drawn = int(rng.integers(21))
    quarters = {0: 1, 1: 1, 2: 1, 10: 2, 20: 2, 15: int(rng.integers(4))}.get(drawn, 0)
    if image.shape[1] != image.shape[2]:
        quarters -= quarters % 2
    return np.rot90(image, quarters, axes=(1, 2)) if drawn not in (4, 5, 6) else image[:, ::-1]


def _grid_mm(spec: InputSpec, spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
    slices, rows, columns = spacing_mm
    if spec.pixel_mm is not None:
        rows = columns = spec.pixel_mm
    return slices if spec.slice_mm is None else spec.slice_mm, rows, columns
