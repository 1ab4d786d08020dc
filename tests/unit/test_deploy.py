"""What operators are given holds together with the code it speaks of."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from triaged import daemon
from triaged.cli import app
from triaged.config import Config, PriorityRule, Section, parse
from triaged.errors import ConfigError
from triaged.records import DeliveryState, Reason, StudyState
from triaged.store import Store
from triaged.telemetry import registry_of

REPO = Path(__file__).resolve().parents[2]
DEPLOY = REPO / "deploy"
GUIDE = (DEPLOY / "README.md").read_text()
DRAIN_S = daemon.DRAIN_LISTENER_S + daemon.DRAIN_WORKER_S + daemon.DRAIN_OUTBOX_S
# Where a metric may be asked for.
ASKING = ("alerts.yml", "grafana.json", "prometheus.yml")


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "triaged.service")
    return parser["Service"]


# -- systemd and containers -----------------------------------------------------------------------------------------


def test_a_stop_outlasts_the_drain() -> None:
    """A stop that kills a worker in the middle of a study would make each update cost an analysis."""
    assert int(unit()["TimeoutStopSec"]) > DRAIN_S
    (minutes,) = re.findall(r"stop_grace_period: (\d+)m", (DEPLOY / "compose.yaml").read_text())
    assert 60 * int(minutes) > DRAIN_S


def test_the_unit_stops_the_supervisor_alone_and_restarts_what_can_help() -> None:
    service = unit()
    assert service["KillMode"] == "mixed"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2", "a wrong configuration is wrong again"
    assert service["OOMPolicy"] == "continue", "one worker out of memory would end the daemon"


def test_the_unit_keeps_images_to_its_user() -> None:
    service = unit()
    assert service["User"] not in {"", "root"}
    assert service["StateDirectory"] == "triaged"
    assert (service["UMask"], service["LimitCORE"]) == ("0077", "0")
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp"):
        assert service[key] == "yes"
    assert service["ProtectSystem"] == "strict"


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (DEPLOY / "triaged.service").read_text()
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.M)
    text = re.sub(r"^Documentation=.*$", "", text, flags=re.M)
    path = tmp_path / "triaged.service"
    path.write_text(re.sub(r"^(User|Group)=.*$", r"\1=root", text, flags=re.M))
    run = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    ours = [line for line in run.stderr.splitlines() if "triaged.service" in line]
    assert (run.returncode, ours) == (0, []), run.stderr


def test_the_image_is_pinned_and_runs_as_nobody_special() -> None:
    lines = (DEPLOY / "Dockerfile").read_text()
    assert "-c constraints.txt" in lines
    assert lines.rindex("USER triaged") < lines.index("ENTRYPOINT")
    for package in ("triaged", "models", "training"):
        assert f"COPY {package} {package}\n" in lines


def test_the_containers_settings_are_settings_once_the_token_is_set() -> None:
    text = (DEPLOY / "compose.toml").read_text()
    with pytest.raises(ConfigError, match="at least 16 characters"):
        parse(text)
    config = parse(text.replace("@TOKEN@", "0123456789abcdef"))
    compose = (DEPLOY / "compose.yaml").read_text()
    assert config.dicom.networks[0] in compose
    assert f'127.0.0.1:{config.dicom.port}:{config.dicom.port}"' in compose
    assert f'127.0.0.1:{config.web.port}:{config.web.port}"' in compose
    assert config.delivers


def test_the_containers_pacs_knows_the_daemon() -> None:
    config = parse((DEPLOY / "compose.toml").read_text().replace("@TOKEN@", "0123456789abcdef"))
    pacs = json.loads((DEPLOY / "compose.orthanc.json").read_text())
    assert config.pacs is not None
    assert pacs["DicomModalities"]["triaged"] == [config.dicom.ae_title, "triaged", config.dicom.port]
    assert (pacs["DicomAet"], pacs["DicomPort"]) == (config.pacs.ae_title, config.pacs.port)


# -- metrics --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of every sample that a daemon can show, an empty store's included."""
    with Store(tmp_path_factory.mktemp("store") / "t.sqlite3") as store:
        shown = generate_latest(registry_of(store, lambda: {"listener": True}, lambda: 1.0)).decode()
    names: set[str] = set()
    for family in text_string_to_metric_families(shown):
        names |= {family.name, f"{family.name}_total"} if family.type == "counter" else {family.name}
        names |= {sample.name for sample in family.samples}
    return names


@pytest.mark.parametrize("name", ASKING)
def test_every_metric_asked_for_exists(name: str, samples: set[str]) -> None:
    asked = set(re.findall(r"\btriaged_[a-z_]+", (DEPLOY / name).read_text()))
    assert asked <= samples
    assert asked or name == "prometheus.yml"


@pytest.mark.parametrize("name", ASKING)
def test_every_label_asked_for_can_be_had(name: str) -> None:
    text = (DEPLOY / name).read_text().replace('\\"', '"')
    source = "\n".join(path.read_text() for path in (REPO / "triaged").rglob("*.py"))
    states = {*StudyState, *DeliveryState}
    for label, values in re.findall(r'\b(state|kind|child)!?=~?"([^"]+)"', text):
        for value in values.split("|"):
            if label == "state" or value in set(StudyState):
                assert value in states
            elif label == "kind":
                assert f'events.add("{value}"' in source
            else:
                assert f'Child("{value}"' in source


def test_the_dashboard_is_whole() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(target["expr"] for panel in panels for target in panel["targets"])


# -- the guide ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [*StudyState, *Reason, *DeliveryState])
def test_the_guide_explains(value: str) -> None:
    assert f"| `{value}` |" in GUIDE


def test_the_guide_says_what_to_do_for_every_alert() -> None:
    alerts = re.findall(r"- alert: (\w+)", (DEPLOY / "alerts.yml").read_text())
    assert alerts
    assert [alert for alert in alerts if f"`{alert}`" not in GUIDE] == []


def settings() -> Iterator[tuple[str, str]]:
    for name, field in Config.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from ((name, key) for key in kind.model_fields)


def test_the_guide_names_no_setting_that_does_not_exist() -> None:
    named = set(re.findall(r"`\[(\w+)\] (\w+)", GUIDE))
    assert len(named) > 10
    assert named <= set(settings())
    assert "called_ae" in PriorityRule.model_fields


def test_the_guide_names_no_command_that_does_not_exist() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # a group, which has them
    named = set(re.findall(r"(?:`|sudo -u triaged )triaged ([a-z]+)", GUIDE))
    assert len(named) > 3
    assert named <= known


# -- constraints ----------------------------------------------------------------------------------------------------


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_pin_everything_that_we_name() -> None:
    lines = [line for line in (REPO / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = [line.partition("==")[0] for line in lines]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines), "no local versions, nothing unpinned"
    assert pinned == sorted(pinned)
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(w for extra in project["optional-dependencies"].values() for w in extra)]
    named = {normal(re.match(r"[\w.-]+", want).group()) for want in wanted}  # type: ignore[union-attr]
    assert named - {project["name"]} <= set(pinned), "an extra may name the project for another extra"
    assert [name for name in pinned if name.startswith(("nvidia", "cuda", "triton"))] == []
