"""Bundles through a whole daemon: score, model, weights and doubts reach the board, the API and every object.

The weights are random, so nothing is said of what they find: the lungs fail and the classical ones stand in, the triage
network gives some score. What is held is what a reader is told about it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from pydicom import Dataset, dcmread

from models.bundle import save_bundle
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.ct_triage import LungsUNet, MultitaskNet
from models.network import WINDOW_HU
from tests.daemon import Daemon, running_daemon
from tests.support import free_port, peer
from tests.unit.results import reader
from training.phantom.study import small_study
from triaged.demo_pacs import send_files
from triaged.records import Flag, Role
from triaged.web.studypage import FLAGS

STANDING_IN = "the learned method found no lungs: the classical lungs stand in"
STRANGE = "noise in soft tissue"
FLAGGED = (Flag.RESEARCH_WEIGHTS, Flag.UNCALIBRATED, Flag.LUNGS_DISAGREE, Flag.UNFAMILIAR)


def bundles(folder: Path) -> tuple[Path, Path]:
    """A lung network that finds nothing and a triage network that finds anything."""
    torch.manual_seed(11)
    shared: dict[str, Any] = {"number": 6, "paper": "none", "synthetic": True}
    spec = InputSpec(kind=Kind.SLICES, pixel_mm=4.0, window_hu=WINDOW_HU)
    lungs = Card(
        **shared,
        name="blind-lungs",
        version="2",
        roles=("lungs",),
        outputs=("lungs",),
        thresholds={"lung": 1.1},  # no probability is larger
        architecture="lungs-unet",
        arguments={"width": 1, "levels": 2},
        input=spec,
    )
    save_bundle(folder / "lungs", lungs, LungsUNet(width=1, levels=2).state_dict())
    triage = Card(
        **shared,
        name="random-triage",
        version="5",
        roles=("triage",),
        outputs=("lesions", "probability"),
        thresholds={"lesion": 0.2},
        architecture="multitask-net",
        arguments={"width": 2, "levels": 2, "pyramid_hidden": 4},
        input=InputSpec(kind=Kind.VOLUME, pixel_mm=4.0, window_hu=WINDOW_HU, mask=MaskPolicy.CROP, depth=8),
        familiar={"noise_hu": (0.0, 4.0)},  # less than the phantom has, more than half of it
    )
    network = MultitaskNet(width=2, levels=2, pyramid_hidden=4)
    save_bundle(folder / "triage", triage, network.state_dict())
    return folder / "lungs", folder / "triage"


@dataclass(frozen=True)
class Shown:
    daemon: Daemon
    study_uid: str
    objects: dict[Role, Path]

    def study(self) -> dict[str, Any]:
        found: dict[str, Any] = self.daemon.get(f"/api/studies/{self.study_uid}")["study"]
        return found

    def page(self, path: str) -> str:
        return httpx.get(self.daemon.url + path, trust_env=False, timeout=30).raise_for_status().text

    def read(self, role: Role) -> Dataset:
        return dcmread(self.objects[role])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("learned")
    lungs, triage = bundles(folder)
    study = small_study(folder / "study", seed=3, right=0.3, left=0.05)
    sections: dict[str, dict[str, object]] = {
        "analysis": {"lungs": str(lungs), "triage": str(triage), "accept_research_weights": True},
        "pacs": {"ae_title": "AWAY", "host": "127.0.0.1", "port": free_port()},  # encoding needs nobody
    }
    with running_daemon(folder, sections) as daemon:
        send_files(study.paths, port=daemon.dicom_port, called="TRIAGED", calling="CT1")
        daemon.wait_until_decided(study.study_uid)
        with daemon.store() as store:
            daemon.wait_for(lambda: [d for d in store.deliveries.of(study.study_uid) if d.path], 120)
            daemon.wait_for(lambda: all(d.path for d in store.deliveries.of(study.study_uid)))
            made = {d.role: daemon.config.storage.path / str(d.path) for d in store.deliveries.of(study.study_uid)}
        yield Shown(daemon, study.study_uid, made)


def test_the_api_tells_score_flags_particulars_and_who_answered(shown: Shown) -> None:
    found = shown.study()["findings"]
    assert 0.0 < found["covid_probability"] < 1.0
    assert set(found["flags"]) >= {flag.value for flag in FLAGGED}
    assert found["remarks"][0] == STANDING_IN
    assert found["remarks"][-1].startswith(f"unfamiliar: {STRANGE}")
    lungs, triage = found["provenance"]["models"]
    assert (lungs["name"], lungs["synthetic"], lungs["sha256"]) == ("classical-lungs", False, "")
    assert (triage["name"], triage["version"], triage["synthetic"]) == ("random-triage", "5", True)
    assert {"cross-check", "familiarity"} <= set(found["provenance"]["seconds"])
    (item,) = shown.daemon.worklist()
    assert item["covid_probability"] == found["covid_probability"]
    assert item["flags"] == found["flags"]


def test_board_and_study_page_call_a_score_a_score(shown: Shown) -> None:
    score = f"{shown.study()['findings']['covid_probability']:.2f}"
    board, page = shown.page("/"), shown.page(f"/study/{shown.study_uid}")
    assert score in board
    assert f"Score {score}, from 0 to 1" in page
    for flag in FLAGGED:
        assert FLAGS[flag] in page
    assert f"T{STANDING_IN[1:]}." in page
    assert STRANGE in page
    assert "triage: random-triage 5, trained on synthetic data" in page
    assert "lungs: classical-lungs 1" in page


def test_the_report_says_what_the_score_is_not(shown: Shown) -> None:
    sr = shown.read(Role.SR)
    said = [str(text) for text in reader.values(sr, "Comment")]
    assert any(text.startswith("Research weights") for text in said)
    assert STANDING_IN in said
    assert any(STRANGE in text for text in said)
    assert reader.values(sr, "Certainty of Finding")
    assert "Uncalibrated model score, not a probability" in sr.to_json()
    assert {"random-triage", "classical-lungs"} <= {str(name) for name in reader.values(sr, "Algorithm Name")}


def test_the_segmentation_names_the_weights_of_its_lesions(shown: Shown) -> None:
    segments = shown.read(Role.SEG).SegmentSequence
    names = {str(s.SegmentLabel).lower(): s.SegmentationAlgorithmIdentificationSequence[0] for s in segments}
    lesions = [said for label, said in names.items() if "lesion" in label]
    lungs = [said for label, said in names.items() if "lesion" not in label]
    assert lesions
    assert lungs
    assert {said.AlgorithmName for said in lesions} == {"random-triage"}
    assert all("research weights" in said.AlgorithmParameters for said in lesions)
    assert {said.AlgorithmName for said in lungs} == {"classical-lungs"}


def test_dciodvfy_finds_no_error(shown: Shown) -> None:
    verify = peer("dciodvfy")
    for role, path in shown.objects.items():
        told = subprocess.run([verify, str(path)], capture_output=True, text=True, check=False, errors="replace")
        lines = (told.stdout + told.stderr).splitlines()
        assert lines, "dciodvfy said nothing"
        assert [line for line in lines if "Error" in line] == [], role
