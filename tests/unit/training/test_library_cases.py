"""A library of patients on disk as cases to judge by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.severity import LEFT, RIGHT
from tests.unit.training.small_patients import KINDS, patient, written
from training.cases import HeldOut
from training.datasets.library import LibraryCases
from training.datasets.stored import TRAIN, VALIDATION, DataError, store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("library"))


def test_of_a_training_folder_only_what_is_validated_by(folder: Path) -> None:
    cases = LibraryCases(folder=folder)
    assert [cases[n].kind for n in range(len(cases))] == list(KINDS)
    assert np.array_equal(cases[0].volume.hu, patient(100, lesion=True).hu)
    assert "checkpoints may have been chosen by these" in cases.description
    alone = LibraryCases(folder=folder / TRAIN)
    assert np.array_equal(alone[0].volume.hu, patient(0, lesion=True).hu)
    assert "chosen" not in alone.description
    assert cases.origin(0) != alone.origin(0)


def test_lungs_have_their_sides_and_pixels_their_millimetres(folder: Path) -> None:
    case = LibraryCases(folder=folder / VALIDATION)[0]
    assert isinstance(case, HeldOut)
    assert case.volume.spacing_mm == (8.0, 2.0, 2.0)
    assert case.labels is not None
    assert case.lesions is not None
    middle = case.volume.shape[2] / 2
    columns = {side: np.argwhere(case.labels == side)[:, 2].mean() for side in (RIGHT, LEFT)}
    assert columns[RIGHT] < middle < columns[LEFT]  # columns run to the patient's left
    assert (case.labels[case.lesions] == RIGHT).all()


def test_fewer_are_taken_where_fewer_are_asked_for(folder: Path) -> None:
    assert len(LibraryCases(folder=folder, limit=2)) == 2
    assert len(LibraryCases(folder=folder, limit=200)) == len(KINDS)


def test_a_folder_without_patients_and_a_changed_patient_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no patients"):
        len(LibraryCases(folder=tmp_path / "none"))
    store(tmp_path / "one", [("covid", patient(3, lesion=True))], "one")
    cases = LibraryCases(folder=tmp_path / "one")
    assert len(replace(cases, limit=1)) == 1
    (tmp_path / "one" / "00000.npz").write_bytes(b"other")
    with pytest.raises(DataError, match="sha256 differs"):
        cases[0]
