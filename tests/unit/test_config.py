"""One TOML file, every mistake at once, every key documented."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from triaged.config import Config, Pacs, PriorityRule, load, parse
from triaged.errors import ConfigError
from triaged.records import OrderPriority, Role

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "triaged.example.toml"
STORAGE = '[storage]\npath = "unused"\n'


def _problems(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert len(refused.value.problems) == len(set(refused.value.problems))
    return dict(refused.value.problems)


def _with_examples(text: str) -> str:
    """The example file with its commented keys put in force."""
    return re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE)


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        kind: Any = {"pacs": Pacs, "priority": PriorityRule}.get(name if prefix in {"", "worklist."} else "")
        kind = kind or field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= _keys(kind, f"{prefix}{name}.")
        else:
            found.add(f"{prefix}{name}")
    return found


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in _flat(part, f"{prefix}{name}.").items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {k: v for part in value for k, v in _flat(part, prefix).items()}
    return {prefix[:-1]: value}


# -- the example ------------------------------------------------------------------------------------------------


def test_example_documents_every_key_and_no_other() -> None:
    assert set(_flat(tomllib.loads(_with_examples(EXAMPLE.read_text())))) == _keys(Config)
    assert "worklist.priority.called_ae" in _keys(Config)
    assert "pacs.timeout_s" in _keys(Config)


def test_example_parses_with_and_without_its_examples() -> None:
    plain, full = load(EXAMPLE), parse(_with_examples(EXAMPLE.read_text()))
    assert plain.worklist.priority == ()
    assert [rule.priority for rule in full.worklist.priority] == ["STAT", "LOW", "HIGH", "HIGH"]
    assert full.web.token is not None


def test_example_states_the_defaults() -> None:
    example = load(EXAMPLE)
    bare = parse(f'[storage]\npath = "{example.storage.path}"\n')
    assert example.model_copy(update={"pacs": None}) == bare


def test_every_key_of_the_example_is_explained() -> None:
    """Beside it or in the lines above it: a key alone is no documentation. Those named for a unit's worth may stand
    in a group that one comment explains."""
    lines = EXAMPLE.read_text().splitlines()
    grouped = {"critical_minutes", "high_minutes", "port", "ae_title", "host", "retry_longest_s", "priority"}
    for before, line in zip(["", *lines], lines, strict=False):
        key = re.match(r"([a-z_]+) = ", line)
        if key and key[1] not in grouped:
            assert "  # " in line or before.startswith("# "), line


# -- mistakes ---------------------------------------------------------------------------------------------------


def test_every_mistake_is_reported_at_once_with_its_key() -> None:
    found = _problems(
        """
        mode = "live"
        speed = 3
        [dicom]
        port = "x"
        networks = ["10.0.0.300/8"]
        [assembly]
        qiet_s = 1
        hard_timeout_s = 2
        [worklist]
        policy = "hope"
        critical_minutes = 90
        [[worklist.priority]]
        priority = "URGENT"
        called_ae = "A"
        [[worklist.priority]]
        priority = "STAT"
        tag = "StudyDescripton"
        contains = "stat"
        [results]
        send = ["seg", "pdf"]
        [web]
        host = "0.0.0.0"
        token = "short"
        viewer_url = "https://viewer/{study}"
        """
    )
    assert set(found) == {
        *("(file)", "speed", "dicom.port", "dicom.networks", "assembly.qiet_s", "assembly", "storage"),
        *("worklist.policy", "worklist", "worklist.priority.0.priority", "worklist.priority.1.tag"),
        *("results.send", "web.token", "web.viewer_url", "web"),
    }
    assert found["assembly.qiet_s"] == "unknown key; did you mean quiet_s?"
    assert found["worklist.priority.0.priority"] == "'URGENT' is none of STAT, HIGH, ROUTINE, LOW, UNKNOWN"
    assert found["results.send"] == "'pdf' is none of seg, sr, picture"
    assert "no DICOM keyword" in found["worklist.priority.1.tag"]


def test_message_names_the_file_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("mode = 'fast'\n[storage]\npath = 3\n")
    with pytest.raises(ConfigError, match=r"site\.toml: 2 problem\(s\)"):
        load(path)


def test_file_that_cannot_be_read_or_is_no_toml_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.toml")
    assert "not TOML" in _problems("mode = \n")["(file)"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "storage"),
        ("[storage]\n", "storage.path"),
        (f"{STORAGE}[storage.deep]\nx = 1\n", "storage.deep"),
        (f'mode = "live"\n{STORAGE}', "(file)"),
        (f'{STORAGE}[pacs]\nae_title = "P"\nport = 104\n', "pacs.host"),
        (f'{STORAGE}[pacs]\nae_title = "P"\nhost = "h"\nport = 0\n', "pacs.port"),
        (f'{STORAGE}[dicom]\nae_title = ""\n', "dicom.ae_title"),
        (f'{STORAGE}[dicom]\nae_title = "SEVENTEEN_LETTERS"\n', "dicom.ae_title"),
        (f'{STORAGE}[dicom]\nae_title = "BACK\\\\SLASH"\n', "dicom.ae_title"),
        (f'{STORAGE}[dicom]\nae_title = "   "\n', "dicom.ae_title"),
        (f'{STORAGE}[dicom]\nnetworks = ["10.1.2.3/8"]\n', "dicom.networks"),
        (f'{STORAGE}[analysis]\ndevice = "gpu"\n', "analysis.device"),
        (f"{STORAGE}[analysis]\nworkers = 0\n", "analysis.workers"),
        (f"{STORAGE}[worklist]\nseverity_threshold = 5\n", "worklist.severity_threshold"),
        (f"{STORAGE}[worklist]\nseverity_threshold = nan\n", "worklist.severity_threshold"),
        (f"{STORAGE}[worklist]\nlow_minutes = inf\n", "worklist.low_minutes"),
        (f"{STORAGE}[worklist]\nhigh_minutes = 10\n", "worklist"),
        (f'{STORAGE}[[worklist.priority]]\npriority = "STAT"\n', "worklist.priority.0"),
        (f'{STORAGE}[[worklist.priority]]\npriority = "STAT"\ntag = "Modality"\n', "worklist.priority.0"),
        (
            f'{STORAGE}[[worklist.priority]]\npriority = "STAT"\ncalled_ae = "A"\ncontains = "x"\n',
            "worklist.priority.0",
        ),
        (
            f'{STORAGE}[[worklist.priority]]\npriority = "STAT"\ntag = "Modality"\ncontains = " "\n',
            "worklist.priority.0.contains",
        ),
        (f'{STORAGE}[web]\nhost = "0.0.0.0"\n', "web"),
        (f'{STORAGE}[web]\nhost = "board.example"\n', "web"),
        (f'{STORAGE}[web]\nviewer_url = "javascript:alert(1)"\n', "web.viewer_url"),
        (f'{STORAGE}[web]\nviewer_url = "https://v/{{}}"\n', "web.viewer_url"),
        (f'{STORAGE}[web]\nviewer_url = "https://v/{{study_uid.x}}"\n', "web.viewer_url"),
        (f'{STORAGE}[web]\nviewer_url = "https://v/{{"\n', "web.viewer_url"),
        (f"{STORAGE}[assembly]\nquiet_s = 900\n", "assembly"),
        (f'dicom = "here"\n{STORAGE}', "dicom"),
    ],
)
def test_single_mistake_is_the_only_one_reported(text: str, key: str) -> None:
    assert list(_problems(text)) == [key]


def test_problem_never_repeats_a_secret() -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f'{STORAGE}[web]\ntoken = "hunter2"\n')
    assert "hunter2" not in str(refused.value)


# -- what is meant ----------------------------------------------------------------------------------------------


def test_settings_cannot_be_changed_while_the_daemon_runs() -> None:
    config = parse(STORAGE)
    with pytest.raises(ValidationError, match="frozen"):
        config.mode = "live"


def test_defaults_are_cautious() -> None:
    config = parse(STORAGE)
    assert (config.mode, config.promotes, config.delivers) == ("shadow", False, False)
    assert config.web.is_loopback
    assert config.dicom.admits("127.0.0.1", "ANY")
    assert not config.dicom.admits("10.0.0.5", "ANY")


def test_live_promotes_and_delivers_what_is_named() -> None:
    pacs = '[pacs]\nae_title = "P"\nhost = "h"\nport = 104\n'
    live = parse(f'mode = "live"\n{STORAGE}{pacs}')
    assert (live.promotes, live.delivers) == (True, True)
    silent = parse(f'mode = "live"\n{STORAGE}[results]\nsend = []\n[worklist]\npolicy = "off"\n')
    assert (silent.promotes, silent.delivers) == (False, False)
    twice = parse(f'{STORAGE}[results]\nsend = ["sr", "seg", "sr"]\n')
    assert twice.results.send == (Role.SR, Role.SEG)


@pytest.mark.parametrize(
    ("lists", "address", "ae", "admitted"),
    [
        ("", "127.0.0.1", "ANY", True),
        ("", "::1", "ANY", True),
        ("", "::ffff:127.0.0.1", "ANY", True),
        ("", "10.1.0.9", "ANY", False),
        ('networks = ["10.1.0.0/16"]', "10.1.0.9", "ANY", True),
        ('networks = ["10.1.0.0/16"]', "::ffff:10.1.0.9", "ANY", True),
        ('networks = ["10.1.0.0/16"]', "10.2.0.9", "ANY", False),
        ('networks = ["10.1.0.0/16"]', "127.0.0.1", "ANY", False),
        ('calling_ae_titles = ["CT1"]', "10.2.0.9", "CT1 ", True),
        ('calling_ae_titles = ["CT1"]', "10.2.0.9", "CT2", False),
        ('calling_ae_titles = ["CT1"]\nnetworks = ["10.1.0.0/16"]', "10.1.0.9", "CT2", False),
        ('calling_ae_titles = ["CT1"]\nnetworks = ["10.1.0.0/16"]', "10.2.0.9", "CT1", False),
    ],
)
def test_who_may_send(lists: str, address: str, ae: str, admitted: bool) -> None:
    assert parse(f"{STORAGE}[dicom]\n{lists}\n").dicom.admits(address, ae) is admitted


def test_priority_rules_keep_their_order() -> None:
    rules = parse(
        f"""{STORAGE}
        [[worklist.priority]]
        priority = "STAT"
        called_ae = "NOW"
        [[worklist.priority]]
        priority = "LOW"
        tag = "StudyDescription"
        contains = "screening"
        """
    ).worklist.priority
    assert [rule.priority for rule in rules] == [OrderPriority.STAT, OrderPriority.LOW]
