"""Patients on disk: a folder of .npz files, one per patient, and index.json with what is known without opening them.

data/train/index.json, 00000.npz, 00001.npz ...      what is trained on
data/validation/...                                  a shifted generator, by which checkpoints are chosen
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

INDEX, TRAIN, VALIDATION = "index.json", "train", "validation"
KINDS = ("covid", "cap", "normal", "other")
ADVICE = "`triaged phantom --library` draws some, `triaged data prepare` brings others into this form"


class DataError(Exception):
    """A folder that holds no patients, or others than its index says."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredPatient:
    """Arrays (slice, row, column) on the networks' grid."""

    hu: NDArray[np.int16]
    lungs: NDArray[np.bool_]
    lesions: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]


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
            self.description = str(index["description"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} holds no patients ({ADVICE}): {error}") from error
        if not self.kinds:
            raise DataError(f"{folder} holds no patients: its {INDEX} lists none ({ADVICE})")
        strange = sorted(set(self.kinds) - set(KINDS))
        if strange:
            raise DataError(f"{folder}: {', '.join(strange)} is no kind of patient; there are {', '.join(KINDS)}")
        self.digest = hashlib.sha256("".join(self._sha256).encode()).hexdigest()
        self._folder = folder
        self._kept: dict[int, _Packed] = {}

    @property
    def files(self) -> frozenset[str]:
        """The sha256 of every patient: equal ones are one patient."""
        return frozenset(self._sha256)

    def __getitem__(self, index: int) -> StoredPatient:
        """Raises DataError on a file that the index does not describe."""
        if index not in self._kept:
            self._kept[index] = self._read(index)
        packed = self._kept[index]
        lungs, lesions = packed.mask(packed.lungs), packed.mask(packed.lesions)
        return StoredPatient(hu=packed.hu, lungs=lungs, lesions=lesions, spacing_mm=packed.spacing_mm)

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
        path = folder / _name(number)
        np.savez_compressed(
            path, hu=patient.hu, lungs=patient.lungs, lesions=patient.lesions, spacing_mm=patient.spacing_mm
        )
        entries.append({"kind": kind, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    index = {"description": description, "patients": entries}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return StoredLibrary(folder)


def open_libraries(folder: Path) -> tuple[StoredLibrary, StoredLibrary]:
    """What is trained on and what is chosen by. Raises DataError, where a patient is in both too."""
    train, validation = StoredLibrary(folder / TRAIN), StoredLibrary(folder / VALIDATION)
    shared = train.files & validation.files
    if shared:
        said = f"{len(shared)} of its {len(validation.kinds)} validation patients are among those trained on"
        raise DataError(f"{folder} leaks: {said}; take them out of one of the two, or scores mean nothing")
    return train, validation


def _name(number: int) -> str:
    return f"{number:05}.npz"
