"""Patients as training data: slices for the lung net, series for the two-head network.

Patients come on the networks' grid (2 mm in-plane, few slices each), drawn and reduced beforehand. What the networks
are given is made by `models.prepare`, as in serving.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.case import Box, InputSpec, MaskPolicy
from models.prepare import bounding_box, on_case, prepare, thinned
from models.volume import Volume
from training.augment import Augmentation, Pose, intensity, laid
from training.datasets.stored import ADVICE, DataError
from training.recipe import Batch

POSITIVE = "covid"
# A predicted lung mask is not the true one: it loses dense lung at its edge, or takes in what is beside it.
JITTER_MM = (-6.0, 10.0)  # each side of the box of the lungs, outwards
JITTER_SLICES = (-1, 1)
TRIES = 100  # to draw a patient who has lungs
# Of the series of a kind whose lesions are told, those of annotated patients, where some are and some are not: half of
# all have a mask and a quarter are positive without one (CT triage, train_multitask_spatial.py).
MARKED = 2 / 3


class Patient(Protocol):
    """A patient on the networks' grid; arrays are (slice, row, column)."""

    @property
    def hu(self) -> NDArray[np.int16]: ...

    @property
    def lungs(self) -> NDArray[np.bool_]: ...

    @property
    def lesions(self) -> NDArray[np.bool_]: ...

    @property
    def spacing_mm(self) -> tuple[float, float, float]: ...

    @property
    def annotated(self) -> bool: ...  # False: an empty lesion mask says nothing


class Library(Protocol):
    """Patients by number, and what can be said of them without their pixels."""

    @property
    def kinds(self) -> Sequence[str]: ...  # one per patient: covid, cap, normal or other

    @property
    def annotated(self) -> Sequence[bool]: ...  # one per patient

    @property
    def labels(self) -> Sequence[Mapping[str, int]]: ...  # one per patient: classes by task, where somebody knows them

    @property
    def unknown(self) -> frozenset[str]: ...  # of mm, hu and lungs, what is not known of all patients

    @property
    def synthetic(self) -> bool: ...

    @property
    def digest(self) -> str: ...  # sha256

    @property
    def description(self) -> str: ...

    def __getitem__(self, index: int) -> Patient: ...


@dataclass(frozen=True, kw_only=True)
class Phantoms:
    """What all such data sets have in common: patients to train on, and others to choose by (phantoms of a shifted
    generator). Raises DataError where the specification needs what nobody knows of them."""

    train: Library
    held_out: Library
    spec: InputSpec
    augmentation: Augmentation | None = None
    validation_cases: int = 30

    def __post_init__(self) -> None:
        needed = {
            "mm": self.spec.plane is None,
            "hu": not self.spec.per_slice,
            "lungs": self.spec.mask is not MaskPolicy.NONE,
        }
        for library in (self.train, self.held_out):
            missing = [what for what in ("mm", "hu", "lungs") if needed[what] and what in library.unknown]
            if missing:
                raise DataError(
                    f"{library.description}: {', '.join(missing)} unknown; this model cannot learn from such pictures, "
                    "one that stretches and spreads each slice can (reconstruction)"
                )

    @property
    def digest(self) -> str:
        return f"{self.train.digest}+{self.held_out.digest}"

    @property
    def description(self) -> str:
        return f"{self.train.description}; chosen on {self.held_out.description}"

    @property
    def synthetic(self) -> bool:
        return self.train.synthetic or self.held_out.synthetic

    def chosen(self) -> list[int]:
        """Which patients are validated on: evenly spread, always the same."""
        held_out = len(self.held_out.kinds)
        return list(np.unique(np.linspace(0, held_out - 1, min(self.validation_cases, held_out)).round().astype(int)))


@dataclass(frozen=True, kw_only=True)
class LungSlices(Phantoms):
    """Model 1's samples: a random patient, then a random slice of it (CT triage, train_lungs_sgm.py).

    Batches: image (N, 1, H, W) and lungs (N, 1, H, W), 0 or 1.
    """

    slices: int  # per batch
    plane: int = 0  # pixels; 0: zero-padded to the largest slice of the batch

    def batch(self, rng: np.random.Generator) -> Batch:
        samples = [self._sample(rng) for _ in range(self.slices)]
        return padded(samples) if self.plane == 0 else joined(samples)

    def validation(self) -> Iterator[Batch]:
        """Whole patients, one per batch."""
        for index in self.chosen():
            patient = self.held_out[index]
            case = prepare(volume_of(patient), self.spec)
            yield maps_of(case.image, lungs=on_case(patient.lungs, case))

    def _sample(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        patient = self.train[int(rng.integers(len(self.train.kinds)))]
        s = int(rng.integers(patient.hu.shape[0]))
        hu, lungs = patient.hu[s : s + 1], patient.lungs[s : s + 1]
        if self.augmentation is not None:
            hu = intensity(hu, rng, self.augmentation)
        case = prepare(volume_of(patient, hu), self.spec)
        maps = maps_of(case.image, lungs=on_case(lungs, case))
        if self.plane == 0:
            return maps
        how = self.augmentation or Augmentation(scale=(1.0, 1.0), rotation_deg=0.0)
        plane = (self.plane, self.plane)
        return posed(maps, Pose.drawn(rng, how, (case.image.shape[1], case.image.shape[2]), plane), plane)


@dataclass(frozen=True, kw_only=True)
class LesionSeries(Phantoms):
    """Model 6's samples: series of thinned slices in the box of the lungs.

    Batches: image and lesions (S, 1, H, W) of all series one after the other, lesions NaN where nothing is said; covid
    (N,), 0 or 1; sizes (N, 3), the slices, rows and columns of each series.
    """

    series: int  # per batch
    shares: Mapping[str, float]  # of the kinds among the series of a batch
    annotated: Sequence[str]  # kinds whose lesions the network is told
    limit: tuple[int, int] | None = None  # rows and columns; a larger series is cropped about its centre

    def batch(self, rng: np.random.Generator) -> Batch:
        return padded([self._sample(rng) for _ in range(self.series)])

    def validation(self) -> Iterator[Batch]:
        """Whole patients, one per batch, in the box of their true lungs."""
        for index in self.chosen():
            patient = self.held_out[index]
            if patient.lungs.any():
                yield self._series(patient, self.held_out.kinds[index], patient.lungs, None)

    def _sample(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        patient, kind = drawn(self.train, self.shares, rng, told=self.annotated)
        return self._series(patient, kind, jittered(patient, rng), rng)

    def _series(
        self, patient: Patient, kind: str, box: NDArray[np.bool_], rng: np.random.Generator | None
    ) -> Mapping[str, Tensor]:
        hu, how = patient.hu, self.augmentation
        if rng is not None and how is not None:
            hu = intensity(hu, rng, how)
        case = prepare(volume_of(patient, hu), self.spec, box)
        first, last = case.box[0]
        lesions = on_case(patient.lesions & patient.lungs, case)
        step = thinned(last - first, self.spec.depth)
        if rng is not None and self.spec.depth is not None:
            every = -(-(last - first) // self.spec.depth)
            step = thinned(last - first, self.spec.depth, int(rng.integers(every)))
        maps = maps_of(case.image[step], lesions=lesions[step])
        if rng is not None and how is not None:
            shape = case.image.shape[1], case.image.shape[2]
            maps = posed(maps, Pose.drawn(rng, how, shape, shape), shape)
        if rng is not None and self.limit is not None:
            maps = {name: _centre(m, self.limit) for name, m in maps.items()}
        if not patient.annotated or (kind not in self.annotated and rng is not None):
            maps["lesions"] = torch.full_like(maps["lesions"], torch.nan)
        depth, _, height, width = maps["image"].shape
        return {
            **maps,
            "covid": torch.tensor([float(kind == POSITIVE)]),
            "sizes": torch.tensor([[depth, height, width]]),
        }


def drawn(
    library: Library,
    shares: Mapping[str, float],
    rng: np.random.Generator,
    *,
    annotated: bool = False,
    told: Sequence[str] = (),
) -> tuple[Patient, str]:
    """A random patient who has lungs, and the kind, which is drawn first; of `annotated` patients alone, where that is
    asked for, and of kinds in `told` of these in MARKED of the draws. Raises DataError where there are none."""
    wanted = [
        kind if told or not annotated else "" for kind, told in zip(library.kinds, library.annotated, strict=True)
    ]
    kinds = [kind for kind in shares if kind in wanted]
    if not kinds:
        what = "no patient" if all(library.annotated) or not annotated else "no annotated patient"
        raise DataError(f"{what} is of the kinds {', '.join(shares)}: {library.description}; add some ({ADVICE})")
    weights = np.array([shares[kind] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    of_kind = [n for n, k in enumerate(wanted) if k == kind]
    marked = [n for n in of_kind if library.annotated[n]]
    if kind in told and 0 < len(marked) < len(of_kind):
        of_kind = marked if rng.random() < MARKED else [n for n in of_kind if not library.annotated[n]]
    for _ in range(TRIES):
        patient = library[of_kind[int(rng.integers(len(of_kind)))]]
        if patient.lungs.any():
            return patient, kind
    raise DataError(f"hardly any patient of kind {kind} in {library.description} has lungs")


def volume_of(patient: Patient, hu: NDArray[np.int16] | None = None) -> Volume:
    """The patient's slices, or others on their grid, as a volume."""
    return Volume(hu=patient.hu if hu is None else hu, affine_lps=np.diag([*patient.spacing_mm, 1.0]))


def jittered(patient: Patient, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The box of the lungs as a mask, each side of it moved a little."""
    box = bounding_box(patient.lungs)
    moved = []
    for axis, (first, last) in enumerate(box):
        if axis == 0:
            out = rng.integers(JITTER_SLICES[0], JITTER_SLICES[1] + 1, 2)
        else:
            out = np.rint(rng.uniform(*JITTER_MM, 2) / patient.spacing_mm[axis]).astype(int)
        low = min(max(0, first - int(out[0])), last - 1)
        moved.append((low, max(low + 1, min(patient.lungs.shape[axis], last + int(out[1])))))
    return _filled((moved[0], moved[1], moved[2]), patient.lungs.shape)


def padded(samples: Sequence[Mapping[str, Tensor]]) -> Batch:
    """Samples of unlike planes as one batch: padded with zeros at the high indices, lesions with NaN."""
    rows = max(s["image"].shape[2] for s in samples)
    columns = max(s["image"].shape[3] for s in samples)

    def widened(name: str, m: Tensor) -> Tensor:
        if m.ndim != 4:
            return m
        fill = torch.nan if name == "lesions" else 0.0
        return torch.nn.functional.pad(m, (0, columns - m.shape[3], 0, rows - m.shape[2]), value=fill)

    return joined([{name: widened(name, m) for name, m in s.items()} for s in samples])


def joined(samples: Sequence[Mapping[str, Tensor]]) -> Batch:
    """Samples one after the other, name by name."""
    return {name: torch.cat([s[name] for s in samples]) for name in samples[0]}


def maps_of(image: NDArray[np.float32], **masks: NDArray[np.bool_]) -> dict[str, Tensor]:
    """Each as (slice, 1, row, column), float32."""
    tensors = {name: torch.from_numpy(mask.astype(np.float32))[:, None] for name, mask in masks.items()}
    return {"image": torch.from_numpy(np.ascontiguousarray(image))[:, None], **tensors}


def posed(maps: Mapping[str, Tensor], pose: Pose, plane: tuple[int, int]) -> dict[str, Tensor]:
    """All maps laid alike; masks are cut at the half level."""
    names = list(maps)
    together = laid(torch.cat([maps[name] for name in names], dim=1), pose, plane)
    result = {name: together[:, n : n + 1] for n, name in enumerate(names)}
    return {name: m if name == "image" else (m > 0.5).float() for name, m in result.items()}


def _centre(m: Tensor, limit: tuple[int, int]) -> Tensor:
    first = [max(0, (n - most) // 2) for n, most in zip(m.shape[2:], limit, strict=True)]
    return m[:, :, first[0] : first[0] + limit[0], first[1] : first[1] + limit[1]]


def _filled(box: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=np.bool_)
    mask[slice(*box[0]), slice(*box[1]), slice(*box[2])] = True
    return mask
