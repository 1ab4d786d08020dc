"""The commands over a real store: what they print, what they change, how they end."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from models import zoo
from models.catalogue import CT_TRIAGE
from tests.daemon import configured
from tests.unit.worklist.house import START, House, analysed, failed, findings_of, planned
from triaged import __version__
from triaged.cli import app
from triaged.commands.terminal import BAD_CONFIGURATION
from triaged.records import DeliveryState, Grade, OrderPriority, Reading, StudyState
from triaged.runtime import Runtime, write_runtime
from triaged.store import Store

# The fixed interface, in its order.
WORKLIST_KEYS = [
    *("position", "study_uid", "patient_id", "accession_number", "received_at", "due_at", "tier", "state", "reading"),
    *("covid_probability", "affected_percent", "affected_percent_left", "affected_percent_right", "ct_grade"),
    *("urgency", "reason"),
]
SICK, STAT, BROKEN = "1.2.840.1", "1.2.840.2", "1.2.840.3"


@dataclass
class Admin:
    """Somebody at a shell with a configuration file."""

    toml: Path
    house: House

    def run(self, command: str, *arguments: str) -> Result:
        return CliRunner().invoke(app, [command, "--config", str(self.toml), *arguments])

    def json(self, command: str, *arguments: str, status: int = 0) -> Any:
        ran = self.run(command, "--json", *arguments)
        assert ran.exit_code == status, ran.output
        return json.loads(ran.stdout)


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    """Three studies: the sickest arrived first, a STAT came last, one failed."""
    daemon = configured(tmp_path, {"results": {"send": []}, "storage": {"min_free_mb": 1}})
    with Store(daemon.config.database) as store:
        house = House(store, daemon.config)
        house.ready(SICK)
        sick = findings_of(0.37, left=0.12, right=0.37, grade=Grade.CT2)
        house.finish_next(analysed(sick), deliveries=planned(SICK, START))
        house.ready(BROKEN)
        house.finish_next(failed())
        house.ready(STAT, START.later(60.0), OrderPriority.STAT)
        yield Admin(daemon.toml, house)


# -- the event log ------------------------------------------------------------------------------------------------


def test_audit_follows_the_chain_and_names_its_last_digest(admin: Admin) -> None:
    events = admin.house.store.events.all()
    said = admin.json("audit")
    assert said == {"holds": True, "events": len(events), "last_digest": events[-1].digest, "first_break": None}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET kind = 'pinned' WHERE seq = 4",
        'UPDATE events SET detail = \'{"by": "nobody"}\' WHERE seq = 4',
        "UPDATE events SET detail = 'x' WHERE seq = 4",
        "DELETE FROM events WHERE seq = 3",
    ],
)
def test_audit_names_the_first_event_that_does_not_follow(admin: Admin, change: str) -> None:
    with closing(sqlite3.connect(admin.house.config.database)) as database, database:
        database.execute(change)
    said = admin.json("audit", status=1)
    assert (said["holds"], said["first_break"]) == (False, 4)
    assert admin.run("audit").exit_code == 1


# -- the configuration --------------------------------------------------------------------------------------------

MISTAKES = """
mode = "lve"
[dicom]
prot = 104
ae_title = "A TITLE FAR TOO LONG FOR DICOM"
[storage]
path = "unused"
[web]
host = "0.0.0.0"
[analysis]
time_limit_s = -1
"""
COMMANDS = [
    *(
        ["serve"],
        ["check"],
        ["status"],
        ["worklist"],
        ["read", "1.2"],
        ["requeue", "1.2"],
        ["audit"],
        ["repair"],
        ["check", "--json"],
    )
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_mistake_is_named_at_once_and_the_exit_status_is_2(command: list[str], tmp_path: Path) -> None:
    folder = tmp_path / ("a-long-way-" * 9)  # a terminal's 80 columns must not break what is looked for
    folder.mkdir()
    toml = folder / "triaged.toml"
    toml.write_text(MISTAKES)
    ran = CliRunner().invoke(app, [command[0], "--config", str(toml), *command[1:]])
    assert ran.exit_code == BAD_CONFIGURATION == 2
    assert ran.stdout == ""
    lines = ran.stderr.splitlines()
    assert lines[0] == f"{toml}: 5 problem(s)"
    named = [line.split(":")[0].strip() for line in lines[1:]]
    assert sorted(named) == ["analysis.time_limit_s", "dicom.ae_title", "dicom.prot", "mode", "web"]
    assert "did you mean port?" in ran.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_is_not_there_is_a_mistake_too(command: list[str], tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, [command[0], "--config", str(tmp_path / "none.toml"), *command[1:]])
    assert ran.exit_code == 2
    assert "No such file" in ran.stderr


@pytest.mark.parametrize("command", [["status"], ["worklist"], ["read", "1.2"], ["requeue", "1.2"]], ids=" ".join)
def test_no_command_makes_a_database(command: list[str], tmp_path: Path) -> None:
    """An empty one in the place of a lost one would let the daemon start and forget."""
    daemon = configured(tmp_path, {"": {"mode": "shadow"}})
    ran = CliRunner().invoke(app, [command[0], "--config", str(daemon.toml), *command[1:]])
    assert ran.exit_code == 1
    assert str(daemon.config.database) in ran.stderr
    assert not daemon.config.storage.path.exists()


# -- worklist -----------------------------------------------------------------------------------------------------


def test_worklist_items_have_the_fixed_keys_in_reading_order(admin: Admin) -> None:
    items = admin.json("worklist")
    assert [item["study_uid"] for item in items] == [STAT, SICK, BROKEN]
    for item in items:
        assert list(item)[: len(WORKLIST_KEYS)] == WORKLIST_KEYS
    stat, sick, broken = items
    assert [item["position"] for item in items] == [1, 2, 3]
    assert (stat["tier"], stat["state"], stat["affected_percent"], stat["ct_grade"]) == ("STAT", "ready", None, None)
    percent = (sick["affected_percent"], sick["affected_percent_left"], sick["affected_percent_right"])
    assert percent == (37.0, 12.0, 37.0)
    assert (sick["ct_grade"], sick["covid_probability"], sick["patient_id"]) == ("CT-2", None, "SECRET-ID")
    assert sick["accession_number"] is None
    assert (broken["state"], broken["urgency"]) == ("failed", None)


def test_worklist_for_people_is_a_table(admin: Admin) -> None:
    ran = admin.run("worklist")
    assert ran.exit_code == 0
    assert "CT-2" in ran.stdout


# -- status and check ---------------------------------------------------------------------------------------------


def test_status_exits_1_where_no_daemon_runs_and_tells_what_there_is(admin: Admin) -> None:
    said = admin.json("status", status=1)
    assert (said["running"], said["pid"], said["dicom_port"]) == (False, None, None)
    assert (said["mode"], said["order"], said["queue_depth"]) == ("live", "ai", 1)
    assert said["studies"] == {"analysed": 1, "failed": 1, "ready": 1}
    assert said["last_result_at"] == START.utc.isoformat()


def test_status_exits_0_where_one_runs(admin: Admin) -> None:
    write_runtime(admin.house.config.storage.path, Runtime(pid=os.getpid(), dicom_port=11112, web_port=8080))
    said = admin.json("status")
    assert (said["running"], said["pid"], said["dicom_port"], said["web_port"]) == (True, os.getpid(), 11112, 8080)
    assert admin.run("status").exit_code == 0


def test_check_as_json_and_its_exit_status(admin: Admin) -> None:
    said = admin.json("check")
    assert {entry["name"]: entry["ok"] for entry in said} == dict.fromkeys(
        ("senders", "storage", "disk", "durability", "clock", "database", "models", "pacs"), True
    )
    assert set(said[0]) == {"name", "ok", "words"}
    admin.toml.write_text(admin.toml.read_text().replace("min_free_mb = 1", "min_free_mb = 100000000"))
    said = admin.json("check", status=1)
    assert [entry["name"] for entry in said if not entry["ok"]] == ["disk"]
    ran = admin.run("check")
    assert ran.exit_code == 1
    assert "FAILED disk" in " ".join(ran.stdout.split())
    assert str(admin.house.config.storage.path) in "".join(ran.stdout.split()), "a long path is told whole"


# -- read and requeue ---------------------------------------------------------------------------------------------


def test_read_takes_studies_off_the_list_and_says_who(admin: Admin) -> None:
    assert admin.run("read", SICK, BROKEN, "--by", "dr.a").exit_code == 0
    assert [item["study_uid"] for item in admin.json("worklist")] == [STAT]
    assert admin.house.study(SICK).reading is Reading.READ
    assert admin.house.study(SICK).reader == "dr.a"


def test_an_unknown_study_is_named_and_exits_1(admin: Admin) -> None:
    for command in (["read"], ["requeue"], ["requeue", "--deliveries"]):
        ran = admin.run(*command, "1.2.3.404")
        assert ran.exit_code == 1
        assert "1.2.3.404" in ran.stderr


def test_requeue_starts_again_from_the_beginning_whatever_came_of_it(admin: Admin) -> None:
    assert admin.run("requeue", BROKEN, "--by", "dr.a").exit_code == 0
    study = admin.house.study(BROKEN)
    assert (study.state, study.attempts) == (StudyState.READY, 0)
    event = admin.house.store.events.of(BROKEN)[-1]
    assert (event.kind, event.detail) == ("requeued", {"by": "dr.a"})


def test_requeue_is_refused_in_a_line_where_the_images_are_gone(admin: Admin) -> None:
    admin.house.store.studies.images_removed(SICK, why="older than retention_days", now=START)
    before = admin.house.study(SICK)
    ran = admin.run("requeue", SICK)
    assert ran.exit_code == 1
    assert ran.stderr.startswith(f"{SICK}: its images were removed")
    assert admin.house.study(SICK) == before


def test_requeue_of_deliveries_sends_what_was_parked_and_analyses_nothing(admin: Admin) -> None:
    deliveries = admin.house.store.deliveries
    deliveries.park(deliveries.of(SICK)[0], error="refused", now=START)
    assert admin.run("requeue", "--deliveries", SICK).exit_code == 0
    assert {d.state for d in deliveries.of(SICK)} == {DeliveryState.WAITING}
    assert admin.house.study(SICK).state is StudyState.ANALYSED


def test_dismiss_gives_up_what_was_parked_for_a_reason(admin: Admin) -> None:
    deliveries = admin.house.store.deliveries
    deliveries.park(deliveries.of(SICK)[0], error="refused", now=START)
    assert admin.run("dismiss", SICK, "--reason", " ").exit_code == 1
    assert admin.run("dismiss", "1.2.3.404", "--reason", "no SEG here").exit_code == 1
    ran = admin.run("dismiss", SICK, "--reason", "no SEG here", "--by", "dr.a")
    assert (ran.exit_code, ran.stdout.strip()) == (0, f"{SICK}: 1 not to be sent")
    assert DeliveryState.SUPERSEDED in {d.state for d in deliveries.of(SICK)}
    assert admin.house.store.events.of(SICK)[-1].detail["why"] == "no SEG here"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become an account without a name")
def test_an_account_without_a_name_still_says_who() -> None:
    """Containers run under numbers that no passwd file knows."""
    program = (
        "import os; from triaged.commands import site; os.environ.clear(); os.setuid(54321); print(site.whoever())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "uid 54321", ran.stderr


# -- the rest -----------------------------------------------------------------------------------------------------


def test_repair_of_a_sound_database_changes_nothing(admin: Admin) -> None:
    said = admin.json("repair")
    assert said == {"was_sound": True, "restored_from": None, "studies": 0, "instances": 0, "parked_deliveries": 0}


def test_models_lists_what_the_configuration_can_name() -> None:
    ran = CliRunner().invoke(app, ["models", "--json"])
    cards = {card["name"]: card for card in json.loads(ran.stdout)}
    assert cards["classical-lungs"]["roles"] == ["lungs"]
    assert cards["thresholding"]["roles"] == ["triage"]
    assert cards["thresholding"]["megabytes"] is None
    assert 0.1 < cards["ct-triage"]["megabytes"] < 12, "what ships is small"
    for card in cards.values():
        assert set(card) == {"number", "name", "version", "roles", "paper", "synthetic", "limits", "megabytes", "card"}
        assert card["limits"], "what it is not worth is said"
    assert "thresholding" in CliRunner().invoke(app, ["models"]).stdout


def test_the_card_of_a_model_is_printed_whole() -> None:
    for named in ("ct-triage", str(zoo.shipped()["ct-triage"])):
        said = json.loads(CliRunner().invoke(app, ["models", named]).stdout)
        assert said["input"]["pixel_mm"] == 2.0
        assert said["thresholds"] == {"lesion": 0.2}
        assert said["training_data"]
    assert json.loads(CliRunner().invoke(app, ["models", "thresholding"]).stdout)["thresholds"]["HU min"] == -700.0
    none = CliRunner().invoke(app, ["models", "nobody"])
    assert (none.exit_code, "no readable card.json" in none.stderr) == (2, True)


def test_all_36_models_of_the_papers_are_listed() -> None:
    items = json.loads(CliRunner().invoke(app, ["models", "--all", "--json"]).stdout)
    assert [item["number"] for item in items] == list(range(1, 37))
    for item in items:
        assert set(item) == {"number", "name", "paper", "kind", "roles", "parameters"}
    assert items[5] == {
        "number": 6,
        "name": "ct-triage",
        "paper": CT_TRIAGE,
        "kind": "network",
        "roles": ["triage"],
        "parameters": 15_377_480,
    }
    assert items[31]["parameters"] is None
    assert "15,377,480" in CliRunner().invoke(app, ["models", "--all"]).stdout


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == __version__
