"""`triaged analyse`: files, numbers, exit status, and no patient in any of them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models import zoo
from models.bundle import save_bundle
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.reading import read_file
from models.volume_triage import DIAGNOSES
from tests.unit.models.chest import Chest, Ellipsoid, draw
from tests.unit.training.feature_tables import rows_of, write
from tests.unit.training.small_patients import written
from training.analyses import drawing
from triaged.cli import app
from triaged.commands.terminal import BAD_CONFIGURATION

pytest.importorskip("matplotlib", reason="Matplotlib comes with the train extra")

PATIENT = "Doe^Jane"


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """That figures are sharp and come as PDF too is tried elsewhere; fonts in a PDF cost a second each."""
    monkeypatch.setattr(drawing, "DPI", 30)
    monkeypatch.setattr(drawing, "KINDS", ("png",))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn chest in a file that is named for a patient."""
    lesion = Ellipsoid(centre=(20, 10, -75), half=(50, 40, 25))
    volume = draw(Chest(dense=((lesion, -400),)), pixel_mm=4.0, slice_mm=12.0).volume
    path = tmp_path_factory.mktemp("scans") / f"{PATIENT}.nii.gz"
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine_lps[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(volume.hu.transpose(2, 1, 0), ras), path)
    return path


def bundled(folder: Path, architecture: str, arguments: dict[str, object], spec: InputSpec) -> Path:
    torch.manual_seed(7)
    card = Card(
        name=architecture,
        version="1",
        number=18,
        paper="none",
        roles=("triage",),
        outputs=("probability",),
        synthetic=True,
        architecture=architecture,
        arguments=arguments,
        input=spec,
        classes={"diagnosis": DIAGNOSES},
    )
    save_bundle(folder, card, zoo.architectures()[architecture].network(**arguments).state_dict())
    return folder


def ran(*words: object) -> dict[str, object]:
    done = CliRunner().invoke(app, ["analyse", *map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    said: dict[str, object] = json.loads(done.stdout)
    return said


def without_the_patient(folder: Path) -> set[str]:
    for path in folder.iterdir():
        assert PATIENT.encode() not in path.read_bytes()
        assert PATIENT not in path.name
    return {path.name for path in folder.iterdir()}


def test_lesions_of_a_library(tmp_path: Path) -> None:
    said = ran("lesions", written(tmp_path / "data"), "--out", tmp_path / "out")
    assert said["scans"] == {"covid": 4, "cap": 2}, "of both parts"
    assert without_the_patient(tmp_path / "out") == {"lesions.png", "lesions.json"}
    assert json.loads((tmp_path / "out" / "lesions.json").read_text(encoding="utf-8")) == said
    done = CliRunner().invoke(app, ["analyse", "lesions", str(tmp_path), "--out", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "holds no patients" in done.stderr
    assert not (tmp_path / "none").exists()


def test_features_of_a_table(tmp_path: Path) -> None:
    said = ran("features", write(tmp_path / "f.csv", rows_of(60)), "--out", tmp_path / "out")
    assert said["patients"] == 60
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*("box-plots.png", "heat-map.png", "features.json")}


def test_where_a_volume_network_looks(scan: Path, tmp_path: Path) -> None:
    spec = InputSpec(
        kind=Kind.VOLUME, pixel_mm=12.0, slice_mm=15.0, window_hu=(-1024, 976), mask=MaskPolicy.ZERO, size=(16, 16, 24)
    )
    model = bundled(tmp_path / "model", "squeezenet3d", {"classes": 3, "squeeze": 2}, spec)
    words = [model, scan, "--out", tmp_path / "out", "--lungs", "classical-lungs"]
    said = ran("cam", *words, "--class", "CAP")
    assert (said["task"], said["class"], said["synthetic"]) == ("diagnosis", "CAP", True)
    assert without_the_patient(tmp_path / "out") == {"cam.png", "cam.nii.gz", "cam.json"}
    assert read_file(tmp_path / "out" / "cam.nii.gz").shape == read_file(scan).shape
    refused = CliRunner().invoke(app, ["analyse", "evidence", *map(str, words)])
    assert refused.exit_code == BAD_CONFIGURATION
    assert "no evidence masks" in refused.stderr
    wrong = CliRunner().invoke(app, ["analyse", "cam", *map(str, words), "--task", "NAT"])
    assert wrong.exit_code == 1
    assert "no task 'NAT'" in wrong.stderr


def test_where_a_diagnosis_comes_from(scan: Path, tmp_path: Path) -> None:
    spec = InputSpec(
        kind=Kind.VOLUME,
        pixel_mm=12.0,
        window_hu=(-1400, 200),
        mask=MaskPolicy.ZERO,
        tile=(8, 32, 32),
        overview=(16, 32, 32),
    )
    model = bundled(tmp_path / "model", "deepsc", {"tasks": "diagnosis"}, spec)
    said = ran("evidence", model, scan, "--out", tmp_path / "out", "--lungs", "classical-lungs")
    assert said["in the lesions it found"] is None
    maps = {f"evidence{n}.nii.gz" for n in ("", "-1", "-2", "-3")}
    assert without_the_patient(tmp_path / "out") == {"evidence.png", "evidence.json", *maps}


def test_doubtful_grades_of_scans_that_are_measured(scan: Path, tmp_path: Path) -> None:
    table = scan.parent / "grades.csv"
    table.write_text(f"grade,path,affected_percent\nCT-4,{scan.name},\nCT-1,,12\nCT-2,,5\n", encoding="utf-8")
    models = ["--lungs", "classical-lungs", "--model", "thresholding"]
    said = ran("mislabels", table, "--out", tmp_path / "out", *models)
    suspects = said["suspects"]
    assert isinstance(suspects, list)
    assert [s["row"] for s in suspects] == [1, 3]
    names = {"mislabels.png", "mislabelled-slices.png"}
    assert without_the_patient(tmp_path / "out") == {*names, "mislabels.json", "measured.jsonl"}
    wrong = CliRunner().invoke(app, ["analyse", "mislabels", str(scan), "--out", str(tmp_path / "x")])
    assert wrong.exit_code == 1


def test_a_model_or_scan_that_is_none_is_told(scan: Path, tmp_path: Path) -> None:
    none = CliRunner().invoke(app, ["analyse", "cam", "nobody", str(scan), "--out", str(tmp_path)])
    assert none.exit_code == BAD_CONFIGURATION
    assert "nobody" in none.stderr
    (tmp_path / "empty").mkdir()
    model = zoo.shipped()["ct-triage"]
    empty = CliRunner().invoke(app, ["analyse", "cam", str(model), str(tmp_path / "empty"), "--out", str(tmp_path)])
    assert empty.exit_code == 1
    assert "no series to analyse" in empty.stderr
