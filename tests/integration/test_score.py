"""`triaged score` as a program meets it: folders in, one item per study out, objects on disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from training.phantom.case import Phantom, Region
from training.phantom.dicom import StudyInfo, Syntax, uid_for
from training.phantom.study import SMALL, Options, WrittenStudy, small_study

# The fixed interface: what a program may rely on.
KEYS = {
    *("study_uid", "state", "reason", "series_uid", "model", "seconds", "covid_probability", "ct_grade"),
    *("affected_percent", "affected_percent_left", "affected_percent_right"),
    *("lung_volume_ml_left", "lung_volume_ml_right", "lesion_volume_ml"),
}
SECRET = "Mustermann^Erika"


def score(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triaged", "score", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


@dataclass(frozen=True)
class Scored:
    sick: WrittenStudy
    head: WrittenStudy
    out: Path
    items: dict[str, dict[str, Any]]
    stderr: str


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """A chest and a head, in one tree with what people leave lying about, one file named twice."""
    folder = tmp_path_factory.mktemp("score")
    patients = folder / "in" / "patients"
    info = StudyInfo(study_uid=uid_for("score", "sick"), patient_name=SECRET, patient_id="S-1")
    sick = small_study(patients / "a" / "b", seed=3, right=0.30, left=0.05, info=info)
    undecodable = Options(scans=(SMALL,), syntax=Syntax.GARBAGE)
    head = small_study(patients / "c", phantom=Phantom(seed=2, region=Region.HEAD), options=undecodable)
    (patients / "README").write_text("not an image")
    (patients / "a" / "empty.dcm").touch()
    (patients / "a" / "noise.dcm").write_bytes(np.random.default_rng(1).bytes(5000))
    (patients / "a" / "cut.dcm").write_bytes(sick.paths[0].read_bytes()[:300])
    shutil.copy(sick.paths[3], patients / "copy of an image.dcm")
    out = folder / "out"
    ran = score(sick.paths[0], patients, "--out", out, "--json", "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    return Scored(sick, head, out, {item["study_uid"]: item for item in json.loads(ran.stdout)}, ran.stderr)


def test_there_is_one_item_for_each_study_with_the_fixed_keys(scored: Scored) -> None:
    assert set(scored.items) == {scored.sick.study_uid, scored.head.study_uid}
    for item in scored.items.values():
        assert set(item) >= KEYS


def test_an_analysed_study_has_its_numbers(scored: Scored) -> None:
    item, truth = scored.items[scored.sick.study_uid], scored.sick.truth
    assert (item["state"], item["reason"]) == ("analysed", None)
    assert item["affected_percent"] == item["affected_percent_right"] > item["affected_percent_left"]
    assert item["affected_percent_right"] == pytest.approx(100 * truth.right_fraction, abs=15)
    assert item["lung_volume_ml_right"] == pytest.approx(truth.right_ml, rel=0.12)
    assert item["lung_volume_ml_left"] == pytest.approx(truth.left_ml, rel=0.12)
    assert item["lesion_volume_ml"] > 100
    assert item["series_uid"] == scored.sick.series[0].series_uid
    assert item["model"] == "lungs-unet 1 + ct-triage 1"
    assert 0.0 < item["covid_probability"] < 1.0
    assert {"research_weights", "uncalibrated"} <= set(item["flags"])
    assert item["seconds"] > 0


def test_a_study_that_is_not_analysed_is_an_item_and_not_an_exit(scored: Scored) -> None:
    item = scored.items[scored.head.study_uid]
    assert (item["state"], item["reason_code"]) == ("not_analysed", "syntax")
    assert item["reason"]
    assert {item[key] for key in KEYS - {"study_uid", "state", "reason"}} == {None}
    assert not (scored.out / scored.head.study_uid).exists()


def test_the_objects_are_written_for_the_study_they_belong_to(scored: Scored) -> None:
    folder = scored.out / scored.sick.study_uid
    assert {p.name for p in folder.iterdir()} == {"seg.dcm", "sr.dcm", "picture.dcm", "picture.png"}
    for name, modality in (("seg", "SEG"), ("sr", "SR"), ("picture", "OT")):
        made = dcmread(folder / f"{name}.dcm")
        assert made.Modality == modality
        assert (made.StudyInstanceUID, made.PatientID, made.PatientName) == (scored.sick.study_uid, "S-1", SECRET)
    with Image.open(folder / "picture.png") as image:
        assert min(image.size) > 200


def test_what_is_no_image_is_counted(scored: Scored) -> None:
    assert "4 files skipped" in scored.stderr
    assert SECRET not in scored.stderr


def test_scoring_again_gives_the_same_objects(scored: Scored, tmp_path: Path) -> None:
    """The same files, the same UIDs: what is sent twice is stored once."""
    ran = score(scored.sick.folder, "--out", tmp_path)
    assert ran.returncode == 0
    item = scored.items[scored.sick.study_uid]
    assert item["ct_grade"] in ran.stdout, "the table for people"
    assert str(item["covid_probability"])[:3] in ran.stdout
    for name in ("seg.dcm", "sr.dcm", "picture.dcm"):
        first, again = (dcmread(f / scored.sick.study_uid / name) for f in (scored.out, tmp_path))
        assert first.SOPInstanceUID == again.SOPInstanceUID


def test_nothing_to_score_is_an_empty_list(tmp_path: Path) -> None:
    ran = score(tmp_path, "--json")
    assert (ran.returncode, json.loads(ran.stdout)) == (0, [])


def test_a_model_that_there_is_not_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    ran = score(tmp_path, "--lungs", "unet-of-tomorrow")
    assert ran.returncode == 2
    assert "unet-of-tomorrow" in ran.stderr


def test_a_path_that_there_is_not_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    assert score(tmp_path / "nowhere").returncode == 2


def test_a_folder_that_cannot_be_written_is_one_line(scored: Scored, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = score(scored.sick.folder, "--out", tmp_path / "file")
    assert ran.returncode == 1
    assert "the results cannot be written" in ran.stderr
    assert "Traceback" not in ran.stderr
