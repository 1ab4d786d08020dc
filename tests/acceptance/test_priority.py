"""Who comes first: STAT before all, HIGH before what AI promotes, and the sickest of the rest before the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.daemon import running_daemon
from training.phantom.dicom import StudyInfo, uid_for
from training.phantom.study import SMALL, Options, small_study
from triaged.demo_pacs import send_files

RULES = [
    {"priority": "STAT", "called_ae": "STATCT"},
    {"priority": "HIGH", "tag": "StudyDescription", "contains": "URGENT"},
    {"priority": "LOW", "calling_ae": "RESEARCH"},
]
TINY = replace(SMALL, slices=3, rows=40, columns=48, pixel_mm=(8.0, 8.0))


def test_stat_then_high_then_what_ai_promotes_then_the_rest(tmp_path: Path) -> None:
    """They arrive in the reverse of the order in which they are to be read."""
    sections = {
        "dicom": {"port": 0, "also_called": ["STATCT"]},
        "worklist": {"policy": "severity", "priority": RULES},
        "results": {"send": []},
    }
    sent = (  # name, description, affected fraction (None: refused from its header), called, calling
        ("low", "CT CHEST", None, "TRIAGED", "RESEARCH"),
        ("routine", "CT CHEST", None, "TRIAGED", "CT1"),
        ("sick", "CT CHEST", 0.4, "TRIAGED", "CT1"),
        ("high", "CT CHEST URGENT", None, "TRIAGED", "CT1"),
        ("stat", "CT CHEST", None, "STATCT", "CT1"),
    )
    uids = {name: uid_for("priority", name) for name, *_ in sent}
    with running_daemon(tmp_path, sections) as daemon:
        for name, description, fraction, called, calling in sent:
            info = StudyInfo(study_uid=uids[name], study_description=description)
            options = Options(scans=(TINY if fraction is None else SMALL,))
            study = small_study(tmp_path / name, seed=3, right=fraction or 0.0, info=info, options=options)
            send_files(study.paths, port=daemon.dicom_port, called=called, calling=calling)
        daemon.wait_until_decided(*uids.values())
        items = daemon.worklist()
        assert [item["study_uid"] for item in items] == [uids[n] for n in ("stat", "high", "sick", "routine", "low")]
        by_uid = {item["study_uid"]: item for item in items}
        assert [item["tier"] for item in items] == ["STAT", "HIGH", "REST", "REST", "REST"]
        assert by_uid[uids["stat"]]["priority_source"] == "rule 1: called AE is STATCT"
        assert by_uid[uids["sick"]]["urgency"] > 0.2
        before = sorted(items, key=lambda item: item["baseline_position"])
        assert [item["study_uid"] for item in before] == [uids[n] for n in ("stat", "high", "routine", "sick", "low")]
