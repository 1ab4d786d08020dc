"""`triaged phantom` writes studies that a PACS takes, and says what is in them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.reading import read_dicom_series, read_file
from tests.support import peer
from training.phantom.batch import MIX, SHEET, WrittenCase, write_cases
from training.phantom.population import Kind
from training.phantom.sheet import ACROSS, TILE_PX
from triaged.cli import app

SIZE = 96


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[WrittenCase]]:
    folder = tmp_path_factory.mktemp("cases")
    return folder, list(write_cases(folder, 3, seed=4, nifti=True, size=SIZE, workers=1))


def test_kinds_are_mixed_from_the_start() -> None:
    assert {Kind.COVID, Kind.NORMAL, Kind.CAP} <= set(MIX[:3])
    assert set(MIX) == set(Kind)


def test_every_file_passes_dciodvfy(written: tuple[Path, list[WrittenCase]]) -> None:
    program = peer("dciodvfy")
    folder, cases = written
    for case in cases:
        for series in (folder / case.folder).iterdir():
            path = sorted(series.glob("*.dcm"))[-1]
            told = subprocess.run([program, path], capture_output=True, text=True, errors="replace", check=False)
            lines = (told.stdout + told.stderr).splitlines()
            assert "CTImage" in lines
            assert not [line for line in lines if line.startswith("Error")]


def test_truth_says_what_the_files_hold(written: tuple[Path, list[WrittenCase]]) -> None:
    folder, cases = written
    listed = json.loads((folder / "truth.json").read_text())
    assert [entry["kind"] for entry in listed] == ["covid", "normal", "cap"]
    with Image.open(folder / SHEET) as sheet:
        assert sheet.size == (ACROSS * TILE_PX, len(cases) * TILE_PX)
    for case in cases:
        files = sorted((folder / case.folder).rglob("*.dcm"))
        assert len(files) == case.files
        assert {str(pydicom.dcmread(f, stop_before_pixels=True).StudyInstanceUID) for f in files} == {case.study_uid}
    assert cases[0].descriptors["count"] >= 1
    assert cases[1].descriptors["count"] == 0


def test_nifti_shows_the_same_patient_at_the_same_place(written: tuple[Path, list[WrittenCase]]) -> None:
    folder, cases = written
    case = cases[0]
    dicom = read_dicom_series(sorted((folder / case.folder / "series-2").glob("*.dcm")))
    volume = read_file(folder / "nifti" / case.folder / "ct.nii.gz")
    assert volume.hu.shape == dicom.hu.shape
    assert volume.affine_lps == pytest.approx(dicom.affine_lps, abs=1e-3)
    inside = volume.hu > -1000  # below, padding is written in its own way
    assert np.abs(volume.hu[inside].astype(int) - dicom.hu[inside]).max() <= 1
    lungs = nib.load(folder / "nifti" / case.folder / "lungs.nii.gz").get_fdata()
    voxel_ml = float(np.prod(dicom.spacing_mm)) / 1000.0
    assert (lungs == 1).sum() * voxel_ml == pytest.approx(case.right_ml, rel=0.01)
    assert (lungs == 2).sum() * voxel_ml == pytest.approx(case.left_ml, rel=0.01)


def test_command_draws_a_library_to_train_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 0 gives the patients whom what ships was trained on, and those by whom it was chosen."""
    monkeypatch.setattr("training.phantom.population.SLICES", (3, 4))
    words = ["--cases", "1", "--seed", "0", "--validation-cases", "2", "--out", str(tmp_path), "--workers", "1"]
    done = CliRunner().invoke(app, ["phantom", "--library", *words])
    assert done.exit_code == 0, done.output
    trained, chosen = (json.loads((tmp_path / part / "index.json").read_text()) for part in ("train", "validation"))
    assert re.fullmatch(r"1 synthetic patients, generator \d+ main, from seed 0", trained["description"])
    assert re.fullmatch(r"2 synthetic patients, generator \d+ shifted, from seed 1000000", chosen["description"])
    assert [len(part["patients"]) for part in (trained, chosen)] == [1, 2]
