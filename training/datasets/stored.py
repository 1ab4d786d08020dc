"""Patients on disk: a folder of .npz files, one per patient, and index.json with what is known without opening them.

data/train/index.json, 00000.npz, 00001.npz ...      what is trained on
data/validation/...                                  by which checkpoints are chosen: for phantoms, a shifted generator

An entry of the index says of its patient `kind` and `sha256`; of real ones also `annotated`, false where nobody drew
lesions (an empty mask then says nothing), `unknown`, what his files leave open of mm, hu and lungs, `patient`, a digest
that no other patient has, and `facts`, among which may be the labels of COVID-MTL's tasks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.grid import in_plane_shape, regrid_affine, resample_hu, resample_mask
from models.volume import Volume

INDEX, TRAIN, VALIDATION = "index.json", "train", "validation"
KINDS = ("covid", "cap", "normal", "other")
LABELS: Mapping[str, int] = {"CT": 2, "NAT": 2, "severity": 3}  # COVID-MTL's tasks, and how many classes each has
ADVICE = "`triaged phantom --library` draws some, `triaged data prepare` brings others into this form"


class DataError(Exception):
    """A folder that holds no patients, or others than its index says."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredPatient:
    """Arrays (slice, row, column) on the networks' grid. `annotated` False: of lesions nothing is known."""

    hu: NDArray[np.int16]
    lungs: NDArray[np.bool_]
    lesions: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]
    annotated: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class _Packed:
    """A patient as it is kept in memory: masks as bits."""

    hu: NDArray[np.int16]
    lungs: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]

    def mask(self, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.unpackbits(bits, count=self.hu.size).view(np.bool_).reshape(self.hu.shape)


class StoredLibrary:
    """Patients of one folder. Each is read once and kept, masks as bits: some 2.3 MB for 28 slices of 180 x 180."""

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            self.kinds: Sequence[str] = tuple(entry["kind"] for entry in index["patients"])
            self._sha256 = [str(entry["sha256"]) for entry in index["patients"]]
            self._patients = [str(entry.get("patient", entry["sha256"])) for entry in index["patients"]]
            self.annotated: Sequence[bool] = tuple(bool(entry.get("annotated", True)) for entry in index["patients"])
            self.unknown = frozenset(str(what) for entry in index["patients"] for what in entry.get("unknown", ()))
            facts = [dict(entry.get("facts", {})) for entry in index["patients"]]
            self.synthetic = bool(index.get("synthetic", True))
            self.description = str(index["description"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} holds no patients ({ADVICE}): {error}") from error
        if not self.kinds:
            raise DataError(f"{folder} holds no patients: its {INDEX} lists none ({ADVICE})")
        strange = sorted(set(self.kinds) - set(KINDS))
        if strange:
            raise DataError(f"{folder}: {', '.join(strange)} is no kind of patient; there are {', '.join(KINDS)}")
        self.labels: Sequence[Mapping[str, int]] = tuple(_labels(folder, n, one) for n, one in enumerate(facts))
        said = [*self._sha256, *([json.dumps(self.labels)] if any(self.labels) else [])]
        self.digest = hashlib.sha256("".join(said).encode()).hexdigest()
        self._folder = folder
        self._kept: dict[int, _Packed] = {}

    @property
    def identities(self) -> frozenset[str]:
        """What tells patients apart: a digest of who he is where that is known, else the sha256 of his file."""
        return frozenset(self._patients)

    def __getitem__(self, index: int) -> StoredPatient:
        """Raises DataError on a file that the index does not describe."""
        if index not in self._kept:
            self._kept[index] = self._read(index)
        packed = self._kept[index]
        lungs, lesions = packed.mask(packed.lungs), packed.mask(packed.lesions)
        return StoredPatient(
            hu=packed.hu,
            lungs=lungs,
            lesions=lesions,
            spacing_mm=packed.spacing_mm,
            annotated=self.annotated[index],
        )

    def _read(self, index: int) -> _Packed:
        path = self._folder / _name(index)
        try:
            if hashlib.sha256(path.read_bytes()).hexdigest() != self._sha256[index]:
                raise DataError(f"{path.name} is not what the index describes (sha256 differs)")
            with np.load(path, allow_pickle=False) as arrays:
                slice_mm, row_mm, column_mm = (float(mm) for mm in arrays["spacing_mm"])
                return _Packed(
                    hu=arrays["hu"],
                    lungs=np.packbits(arrays["lungs"]),
                    lesions=np.packbits(arrays["lesions"]),
                    spacing_mm=(slice_mm, row_mm, column_mm),
                )
        except (OSError, BadZipFile, ValueError, KeyError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error


def store(folder: Path, patients: Iterable[tuple[str, StoredPatient]], description: str) -> StoredLibrary:
    """Write patients, each with its kind (covid, cap, normal, other); the index last."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, (kind, patient) in enumerate(patients):
        entries.append({"kind": kind, "sha256": saved(folder, number, patient)})
    return indexed(folder, entries, description)


def saved(folder: Path, number: int, patient: StoredPatient) -> str:
    """Write one patient; the sha256 of his file, which the index has to name."""
    path = folder / _name(number)
    np.savez_compressed(
        path, hu=patient.hu, lungs=patient.lungs, lesions=patient.lesions, spacing_mm=patient.spacing_mm
    )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def indexed(
    folder: Path, entries: Sequence[Mapping[str, Any]], description: str, *, synthetic: bool = True
) -> StoredLibrary:
    """Write the index of what was saved, whole or not at all, and open it."""
    index = {"description": description, "synthetic": synthetic, "patients": list(entries)}
    temporary = folder / f"{INDEX}.tmp"
    temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    temporary.replace(folder / INDEX)
    return StoredLibrary(folder)


def on_grid(
    volume: Volume, lungs: NDArray[np.bool_], lesions: NDArray[np.bool_], pixel_mm: float, *, annotated: bool = True
) -> StoredPatient:
    """A scan on the networks' grid: pixels near `pixel_mm`, slices as they are; lesions inside the lungs."""
    shape = in_plane_shape(volume.shape, volume.spacing_mm[1:], pixel_mm)
    inside = resample_mask(lungs, shape)
    affine = regrid_affine(volume.affine_lps, volume.shape, shape)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return StoredPatient(
        hu=resample_hu(volume.hu, shape),
        lungs=inside,
        lesions=resample_mask(lesions, shape) & inside,
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        annotated=annotated,
    )


def open_libraries(folder: Path) -> tuple[StoredLibrary, StoredLibrary]:
    """What is trained on and what is chosen by. Raises DataError, where a patient is in both too."""
    train, validation = StoredLibrary(folder / TRAIN), StoredLibrary(folder / VALIDATION)
    shared = train.identities & validation.identities
    if shared:
        said = f"{len(shared)} of its {len(validation.kinds)} validation patients are among those trained on"
        raise DataError(f"{folder} leaks: {said}; take them out of one of the two, or scores mean nothing")
    return train, validation


def _labels(folder: Path, number: int, facts: Mapping[str, Any]) -> dict[str, int]:
    """Of one patient, by task; empty where nobody says. Raises DataError on what is no class."""
    found = {}
    for task, classes in LABELS.items():
        said = str(facts.get(task, "")).strip()
        if said and not (said.isdecimal() and int(said) < classes):
            wanted = ", ".join(map(str, range(classes)))
            raise DataError(f"{folder}, patient {number}: {task} is {said!r}; give one of {wanted}, or leave it empty")
        if said:
            found[task] = int(said)
    return found


def _name(number: int) -> str:
    return f"{number:05}.npz"
