"""Radiomic features of stored patients (model 35), each measured once and kept beside the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.radiomics import of_volume
from training.datasets.phantom import volume_of
from training.datasets.stored import DataError, StoredLibrary

Table = NDArray[np.float32]


def feature_table(folder: Path, library: StoredLibrary) -> Table:
    """(patients, 375) of the library in `folder`, in the order of `models.feature_names.NAMES`.

    Some seconds of work for a patient, who is kept under the library's digest: an interrupted one goes on where it was,
    and other patients are measured anew.
    """
    kept = folder / f"radiomics-{library.digest[:16]}"
    kept.mkdir(exist_ok=True)
    return np.stack([_measured(kept / f"{number:05}.npy", library, number) for number in range(len(library.kinds))])


def _measured(path: Path, library: StoredLibrary, number: int) -> Table:
    if path.is_file():
        kept: Table = np.load(path, allow_pickle=False)
        return kept
    patient = library[number]
    try:
        found = of_volume(volume_of(patient), patient.lungs)
    except ValueError as error:
        raise DataError(f"patient {number} of {library.description} cannot be measured: {error}") from error
    features = np.array(list(found.values()), dtype=np.float32)
    aside = path.with_suffix(".new.npy")
    np.save(aside, features)
    aside.replace(path)
    return features
