"""`triaged demo --exit --json`: the whole thing without a person, with Orthanc and with the small PACS of our own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import psutil
import pytest
from pydicom import FileDataset, dcmread

from tests.support import peer
from training.phantom.demo import PLANS, STAT_DESCRIPTION, DemoStudy
from training.phantom.dicom import StudyInfo, Syntax, uid_for
from training.phantom.study import SMALL, Options, small_study
from triaged.commands.site import print_demonstration
from triaged.config import Worklist
from triaged.demo import Demo, Report
from triaged.demo_pacs import PacsKind

pytestmark = pytest.mark.timeout(400)  # sixteen studies are drawn, sent, analysed and delivered: a minute on two cores

ROLES = {"seg", "sr", "picture"}
SETTINGS = Worklist()  # the demonstration names no thresholds


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triaged", "demo", "--exit", "--json", "--web-port", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=380)


# -- the demonstration itself -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    said: dict[str, Any]
    stderr: str
    folder: Path

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        return {item["study_uid"]: item for item in self.said["worklist"]}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    peer("Orthanc")
    folder = tmp_path_factory.mktemp("demo")
    ran = demo("--keep", str(folder), "--pacs", "orthanc")
    assert ran.returncode == 0, ran.stderr[-4000:]
    return Shown(json.loads(ran.stdout), ran.stderr, folder)


def test_the_demonstration_completes_with_a_real_pacs(shown: Shown) -> None:
    assert shown.said["complete"] is True
    assert shown.said["synthetic"] is True, "nobody may take it for a result"
    assert shown.said["pacs"] == "Orthanc"
    assert len(shown.said["sent"]) == len(PLANS) >= 12
    assert set(shown.items) == {entry["study_uid"] for entry in shown.said["sent"]}


def test_every_study_ends_as_it_was_drawn_to_end(shown: Shown) -> None:
    for plan, entry in zip(PLANS, shown.said["sent"], strict=True):
        item = shown.items[entry["study_uid"]]
        assert (item["reason_code"] or item["state"]) in plan.ends, plan.kind
        assert entry["expected"] == list(plan.ends)
    kinds = [entry["kind"] for entry in shown.said["sent"]]
    assert {"undecodable", "not a chest", "one lung opaque", "normal, STAT by rule"} <= set(kinds)
    assert {entry["label"] for entry in shown.said["sent"]} == {"covid", "cap", "normal", "other", None}


def test_the_list_is_in_another_order_than_it_came_in(shown: Shown) -> None:
    said = shown.said
    assert said["order_after"] == [item["study_uid"] for item in said["worklist"]]
    assert sorted(said["order_before"]) == sorted(said["order_after"])
    assert said["order_before"] != said["order_after"]


def test_stat_stays_first_and_covid_stands_by_its_true_severity(shown: Shown) -> None:
    assert shown.said["worklist"][0]["order_priority"] == "STAT"
    drawn = {entry["kind"]: entry for entry in shown.said["sent"]}
    by_severity = sorted(
        (kind for kind in drawn if kind.startswith("COVID-19") and kind.endswith("%")),
        key=lambda kind: float(drawn[kind]["true_affected_percent"]),
        reverse=True,
    )
    places = [shown.items[drawn[kind]["study_uid"]]["position"] for kind in by_severity]
    assert len(places) >= 4
    assert places == sorted(places)
    assert shown.items[drawn["COVID-19, 78 %"]["study_uid"]]["ct_grade"] in {"CT-3", "CT-4"}


def test_the_joint_policy_puts_severe_above_identified_above_the_rest(shown: Shown) -> None:
    """Severe counts whatever the cause; identified counts where there is a score (`triaged.worklist.policy`)."""
    ranks = []
    for item in shown.said["worklist"][1:]:
        severe = item["ct_grade"] not in {None, "CT-0"}  # the percentage is rounded, the grade is not
        identified = (item["covid_probability"] or 0.0) >= SETTINGS.identification_threshold
        assert (item["due_at"] < item["baseline_due_at"]) == (severe or identified), item["study_uid"]
        ranks.append(2 if severe else 1 if identified else 0)
    assert ranks == sorted(ranks, reverse=True)
    labels = {entry["study_uid"]: entry["label"] for entry in shown.said["sent"]}
    severe_causes = {
        labels[item["study_uid"]] for item, rank in zip(shown.said["worklist"][1:], ranks, strict=True) if rank == 2
    }
    assert {"covid", "cap"} <= severe_causes


def test_an_opaque_lung_is_not_ranked_low_in_silence(shown: Shown) -> None:
    (uid,) = (entry["study_uid"] for entry in shown.said["sent"] if entry["kind"] == "one lung opaque")
    item = shown.items[uid]
    if item["state"] == "analysed":
        assert item["ct_grade"] in {"CT-3", "CT-4"}
        assert item["due_at"] < item["baseline_due_at"]
    else:
        assert item["affected_percent"] is None
        assert "opaque" in item["reason"]


def test_what_was_found_is_what_was_drawn(shown: Shown) -> None:
    """Thresholding with classical lungs loses what is consolidated at the pleura, up to a quarter of a lung here; what
    is not there it must not find."""
    drawn = {entry["study_uid"]: entry for entry in shown.said["sent"]}
    assert len(shown.said["scored"]) >= sum(plan.ends == ("analysed",) for plan in PLANS)
    for item in shown.said["scored"]:
        entry = drawn[item["study_uid"]]
        assert -25 < item["affected_percent"] - entry["true_affected_percent"] < 10, entry["kind"]
        if entry["label"] == "normal":
            assert item["ct_grade"] == "CT-0"


def test_every_analysed_study_has_a_score_or_none_has(shown: Shown) -> None:
    """Whether there are scores is up to the models that are the default; where there are, they must be worth it."""
    labels = {entry["study_uid"]: entry["label"] for entry in shown.said["sent"]}
    scores: dict[str, list[Any]] = {}
    for item in shown.said["scored"]:
        scores.setdefault(labels[item["study_uid"]], []).append(item["covid_probability"])
    every = [score for of_label in scores.values() for score in of_label]
    if all(score is None for score in every):
        return
    assert all(score is not None and 0.0 <= score <= 1.0 for score in every)
    assert fmean(scores["covid"]) > fmean(scores["normal"])


def test_people_see_what_was_drawn_beside_what_was_found(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    said = shown.said
    report = Report(
        pacs="", sent=said["sent"], before=said["order_before"], after=said["worklist"], delivered=[], complete=True
    )
    print_demonstration(report.listed())
    words = " ".join(capsys.readouterr().out.split())
    for heading in ("without AI", "drawn", "found %", "score"):
        assert heading in words
    for kind in ("effusion", "fibrosis", "undecodable"):
        assert kind in words


def test_every_result_is_in_the_pacs_once(shown: Shown) -> None:
    delivered = shown.said["delivered"]
    scored = {item["study_uid"] for item in shown.said["scored"]}
    assert all(entry["in_pacs"] for entry in delivered)
    assert {(entry["study_uid"], entry["role"]) for entry in delivered} == {(u, r) for u in scored for r in ROLES}
    assert len({entry["sop_uid"] for entry in delivered}) == len(delivered) == 3 * len(scored)


def test_it_leaves_no_process_and_no_identity_behind(shown: Shown) -> None:
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(shown.folder) in " ".join(p.info["cmdline"] or [])]
    assert left == []
    assert "Demo^" not in shown.stderr
    assert "Traceback" not in shown.stderr


# -- what it draws --------------------------------------------------------------------------------------------------


def headers(shown: Shown) -> list[list[FileDataset]]:
    """Of each study, in order of arrival."""
    folders = sorted((shown.folder / "studies").iterdir())
    files = [sorted(path for path in folder.rglob("*") if path.is_file()) for folder in folders]
    return [[dcmread(path, stop_before_pixels=True) for path in paths] for paths in files]


def test_there_are_enough_of_every_promised_kind(shown: Shown) -> None:
    sent = shown.said["sent"]
    labels = Counter(entry["label"] for entry in sent)
    assert labels["covid"] >= 5
    assert labels["cap"] >= 2
    assert labels["normal"] >= 3
    assert labels["other"] >= 3
    assert [e["expected"] for e in sent if e["label"] is None] == [["not_chest"]]
    assert [e["expected"][0] for e in sent if e["expected"][0] != "analysed"] == ["not_chest", "syntax", "lung_opaque"]
    assert [(e["label"], e["true_affected_percent"]) for e in sent if "STAT" in e["kind"]] == [("normal", 0.0)]


def test_pneumonia_is_what_takes_lung_and_nothing_else_does(shown: Shown) -> None:
    for entry in shown.said["sent"]:
        if entry["label"]:
            assert bool(entry["true_affected_percent"]) == (entry["label"] in {"covid", "cap"}), entry["kind"]
    (white,) = (entry for entry in shown.said["sent"] if entry["expected"][0] == "lung_opaque")
    assert white["true_affected_percent"] >= 90


def test_severity_rises_over_the_set_but_not_in_order_of_arrival(shown: Shown) -> None:
    drawn = {entry["kind"]: entry["true_affected_percent"] for entry in shown.said["sent"]}
    promised = {kind: percent for kind, percent in drawn.items() if kind.endswith("%")}
    for kind, percent in promised.items():
        assert percent == pytest.approx(float(kind.split()[-2]), abs=1), kind
    found = list(promised.values())
    assert len(found) >= 4
    assert found not in (sorted(found), sorted(found, reverse=True))
    (first_signs,) = (percent for kind, percent in drawn.items() if "first signs" in kind)
    assert 0.0 < first_signs < 1.5


def test_files_say_what_was_promised(shown: Shown) -> None:
    times, persons = [], set()
    for entry, plan, files in zip(shown.said["sent"], PLANS, headers(shown), strict=True):
        first = files[0]
        assert {h.StudyInstanceUID for h in files} == {entry["study_uid"]}
        assert {str(h.PatientName) for h in files} == {plan.name}
        assert plan.name.startswith("Demo^")
        assert len({h.PatientID for h in files}) == len({h.AccessionNumber for h in files}) == 1
        assert (first.StudyDescription == STAT_DESCRIPTION) == ("STAT" in entry["kind"])
        assert len({h.SOPInstanceUID for h in files}) == len(files) == entry["images"]
        persons.add(first.PatientID)
        times.append(first.StudyDate + first.StudyTime)
    assert len(persons) == len(PLANS)
    assert times == sorted(times)


def test_one_study_brings_two_kernels_and_a_localizer(shown: Shown) -> None:
    (files,) = (
        f for entry, f in zip(shown.said["sent"], headers(shown), strict=True) if "two kernels" in entry["kind"]
    )
    assert len({h.SeriesInstanceUID for h in files}) == 3
    assert {h.ConvolutionKernel for h in files if "AXIAL" in h.ImageType} == {"B41f", "B60f"}
    assert sum("LOCALIZER" in h.ImageType for h in files) == 1


def test_its_studies_are_small_enough_to_send_in_a_moment(shown: Shown) -> None:
    sizes = [path.stat().st_size for path in (shown.folder / "studies").rglob("*") if path.is_file()]
    assert len(sizes) == sum(entry["images"] for entry in shown.said["sent"])
    assert sum(sizes) < 100e6


# -- with the PACS of our own -------------------------------------------------------------------------------------


def three(folder: Path) -> list[DemoStudy]:
    """Mild, severe and undecodable, small enough to be drawn in a moment."""
    made = []
    wanted = (("mild", 0.1, Syntax.EXPLICIT), ("severe", 0.45, Syntax.JPEG_LS), ("undecodable", 0.1, Syntax.GARBAGE))
    for kind, right, syntax in wanted:
        info = StudyInfo(study_uid=uid_for("small demo", kind))
        scan = SMALL if syntax is not Syntax.GARBAGE else replace(SMALL, slices=12)
        study = small_study(
            folder / kind, seed=3, right=right, info=info, options=Options(scans=(scan,), syntax=syntax)
        )
        is_good = syntax is not Syntax.GARBAGE
        made.append(
            DemoStudy(
                study_uid=study.study_uid,
                kind=kind,
                label="covid",
                patient_name=info.patient_name,
                patient_id=info.patient_id,
                accession_number=info.accession_number,
                study_description=info.study_description,
                priority="",
                ends=("analysed",) if is_good else ("syntax",),
                right_fraction=study.truth.right_fraction,
                left_fraction=study.truth.left_fraction,
                paths=study.paths,
            )
        )
    return made


def test_without_orthanc_the_small_pacs_does(tmp_path: Path) -> None:
    said: list[str] = []
    with Demo(say=said.append, web_port=0, folder=tmp_path, pacs=PacsKind.SMALL, draw=three) as running:
        report = running.run()
    assert isinstance(report, Report)
    assert report.complete
    assert "built-in" in report.pacs
    mild, severe, undecodable = report.sent
    assert report.before == [mild["study_uid"], severe["study_uid"], undecodable["study_uid"]]
    assert report.after[0]["study_uid"] == severe["study_uid"]
    assert {entry["study_uid"] for entry in report.delivered} == {mild["study_uid"], severe["study_uid"]}
    assert all(entry["in_pacs"] for entry in report.delivered)
    assert len(report.delivered) == 2 * len(ROLES)
    assert "delivered: 6 of 6" in said


def test_a_board_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = demo("--keep", str(tmp_path), "--pacs", "small", "--web-port", str(taken.getsockname()[1]))
    assert ran.returncode == 1
    assert "the daemon did not start" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_pacs_that_there_is_not_is_a_mistake_of_the_caller() -> None:
    assert demo("--pacs", "dcm4chee").returncode == 2


def test_the_plan_holds_what_a_demonstration_must_show() -> None:
    assert len(PLANS) >= 12
    assert sum(plan.description == STAT_DESCRIPTION for plan in PLANS) == 1
    assert {plan.ends[0] for plan in PLANS} == {"analysed", "not_chest", "syntax", "lung_opaque"}
