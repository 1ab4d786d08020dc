"""One TOML file -> validated settings. Read once, checked whole, passed down; every mistake is reported at once.

`deploy/triaged.example.toml` documents each key; a test holds the two together.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import itertools
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from triaged.errors import ConfigError
from triaged.records import OrderPriority, Role

Port = Annotated[int, Field(ge=0, le=65535)]  # 0 asks the system for one, which tests do
Said = Annotated[str, Field(min_length=1, pattern=r"\S")]  # an empty text is contained in every text
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
# PS3.5 table 6.2-1, AE: at most 16 characters, no backslash, no control characters, not only spaces.
AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$")]


N = TypeVar("N", bound=StrEnum)


def _named(kind: type[N], value: str) -> N:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{value!r} is none of {', '.join(kind)}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Dicom(Section):
    """Our C-STORE listener."""

    ae_title: AETitle = "TRIAGED"
    host: str = "127.0.0.1"
    port: Port = 11112
    also_called: tuple[AETitle, ...] = ()
    calling_ae_titles: tuple[AETitle, ...] = ()
    networks: tuple[str, ...] = ()
    max_associations: Annotated[int, Field(ge=1, le=1000)] = 25
    max_pdu: Annotated[int, Field(ge=0)] = 262144

    @field_validator("networks")
    @classmethod
    def _networks_parse(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network)
        return value

    @property
    def called_ae_titles(self) -> tuple[str, ...]:
        return (self.ae_title, *self.also_called)

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(self.host)

    def admits_address(self, address: str) -> bool:
        """Whether some peer at this address may associate."""
        ip = ipaddress.ip_address(address)
        if isinstance(ip, ipaddress.IPv6Address):
            ip = ip.ipv4_mapped or ip  # how an IPv4 peer looks to a socket that listens on IPv6
        if not self.networks and not self.calling_ae_titles:
            return ip.is_loopback
        return not self.networks or any(ip in ipaddress.ip_network(n) for n in self.networks)

    def admits(self, address: str, calling_ae: str) -> bool:
        """Whether this peer may associate. Nothing listed means loopback only, any calling AE title."""
        is_named = not self.calling_ae_titles or calling_ae.strip() in self.calling_ae_titles
        return is_named and self.admits_address(address)


class Pacs(Section):
    """Where results go, and whom the optional instance count is asked of."""

    ae_title: AETitle
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    timeout_s: Annotated[float, Field(gt=0)] = 30.0


class Storage(Section):
    path: Path
    min_free_mb: Annotated[int, Field(ge=0)] = 2048
    retention_days: Annotated[float, Field(gt=0)] = 30.0
    high_water_percent: Annotated[float, Field(gt=0, le=100)] = 85.0

    @field_validator("path", mode="before")
    @classmethod
    def _expanded(cls, value: object) -> object:
        return Path(value).expanduser() if isinstance(value, str) else value


class Assembly(Section):
    quiet_s: Annotated[float, Field(gt=0)] = 5.0
    idle_s: Annotated[float, Field(ge=0)] = 5.0
    hard_timeout_s: Annotated[float, Field(gt=0)] = 900.0
    ask_pacs_for_counts: bool = False
    max_age_days: Annotated[float, Field(ge=0)] = 0.0  # 0: every study is for reading, however old

    @model_validator(mode="after")
    def _timeout_outlasts_quiet(self) -> Self:
        if self.hard_timeout_s <= self.quiet_s:
            raise ValueError("hard_timeout_s must be longer than quiet_s")
        return self


class Analysis(Section):
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?|auto)$")] = "auto"
    lungs: str = "lungs-unet"
    triage: str = "ct-triage"
    calibration: Path | None = None
    engine: Literal["local"] = "local"
    workers: Annotated[int, Field(ge=1)] = 1
    threads: Annotated[int, Field(ge=0)] = 0
    accept_research_weights: bool = False
    time_limit_s: Annotated[float, Field(gt=0)] = 600.0
    max_attempts: Annotated[int, Field(ge=1)] = 3
    max_volume_mb: Annotated[int, Field(ge=16)] = 2048

    @field_validator("calibration", mode="before")
    @classmethod
    def _expanded(cls, value: object) -> object:
        return Path(value).expanduser() if isinstance(value, str) else value


class PriorityRule(Section):
    """Gives an order priority to the studies it matches. The first rule that matches decides."""

    priority: OrderPriority
    called_ae: Said | None = None
    calling_ae: Said | None = None
    tag: Said | None = None
    equals: Said | None = None
    contains: Said | None = None

    @field_validator("priority", mode="before")
    @classmethod
    def _priority_is_named(cls, value: object) -> object:
        return _named(OrderPriority, value) if isinstance(value, str) else value

    @field_validator("tag")
    @classmethod
    def _tag_is_a_keyword(cls, value: str | None) -> str | None:
        from pydicom.datadict import tag_for_keyword

        if value is not None and tag_for_keyword(value) is None:
            raise ValueError(f"{value} is no DICOM keyword (PS3.6): the rule would never match")
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.called_ae is None and self.calling_ae is None and self.tag is None:
            raise ValueError("a rule needs called_ae, calling_ae or tag")
        if (self.tag is None) != (self.equals is None and self.contains is None):
            raise ValueError("tag goes with equals or contains")
        return self


class Worklist(Section):
    policy: Literal["identification", "severity", "joint", "off"] = "severity"
    identification_threshold: Fraction = 0.5
    severity_threshold: Fraction = 0.01  # the floor of CT-1: below, nothing is called a lesion
    promote_past_high: bool = False
    critical_minutes: Annotated[float, Field(gt=0)] = 30.0
    high_minutes: Annotated[float, Field(gt=0)] = 60.0
    routine_minutes: Annotated[float, Field(gt=0)] = 24 * 60.0
    low_minutes: Annotated[float, Field(gt=0)] = 72 * 60.0
    claim_minutes: Annotated[float, Field(gt=0)] = 20.0
    priority: tuple[PriorityRule, ...] = ()

    @model_validator(mode="after")
    def _targets_in_order(self) -> Self:
        if not self.critical_minutes <= self.high_minutes <= self.routine_minutes <= self.low_minutes:
            raise ValueError("0 < critical_minutes <= high_minutes <= routine_minutes <= low_minutes must hold")
        return self


class Results(Section):
    send: tuple[Role, ...] = (Role.SEG, Role.SR, Role.PICTURE)
    publish_quiet_s: Annotated[float, Field(ge=0)] = 120.0
    retry_first_s: Annotated[float, Field(gt=0)] = 30.0
    retry_longest_s: Annotated[float, Field(gt=0)] = 3600.0
    max_attempts: Annotated[int, Field(ge=1)] = 40

    @field_validator("send", mode="before")
    @classmethod
    def _roles_are_named(cls, value: object) -> object:
        return tuple(dict.fromkeys(_named(Role, v) for v in value)) if isinstance(value, tuple) else value


class Web(Section):
    host: str = "127.0.0.1"
    port: Port = 8080
    token: str | None = None
    viewer_url: str | None = None
    stale_s: Annotated[float, Field(gt=0)] = 15.0

    @field_validator("token")
    @classmethod
    def _token_is_long(cls, value: str | None) -> str | None:
        if value is not None and len(value) < 16:
            raise ValueError("a token needs at least 16 characters")
        return value

    @field_validator("viewer_url")
    @classmethod
    def _template_is_http(cls, value: str | None) -> str | None:
        if value is not None:
            if not value.startswith(("http://", "https://")):
                raise ValueError("must start with http:// or https://")
            try:
                value.format(study_uid="1.2", accession_number="A", patient_id="P")
            except (AttributeError, IndexError, KeyError) as error:
                known = "{study_uid}, {accession_number}, {patient_id}"
                raise ValueError(f"holds a placeholder other than {known}") from error
        return value

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(self.host)

    @model_validator(mode="after")
    def _open_addresses_need_a_token(self) -> Self:
        if not self.is_loopback and self.token is None:
            raise ValueError(f"host {self.host} is not loopback: set a token")
        return self


class Log(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    json_lines: bool = False


class Config(Section):
    """Everything an admin can say. Frozen: nothing changes it while the daemon runs."""

    mode: Literal["shadow", "live"] = "shadow"
    installation: Literal["production", "test"] = "production"
    dicom: Dicom = Dicom()
    pacs: Pacs | None = None
    storage: Storage
    assembly: Assembly = Assembly()
    analysis: Analysis = Analysis()
    worklist: Worklist = Worklist()
    results: Results = Results()
    web: Web = Web()
    log: Log = Log()

    @model_validator(mode="after")
    def _live_results_need_a_pacs(self) -> Self:
        if self.mode == "live" and self.results.send and self.pacs is None:
            raise ValueError('mode "live" with [results] send needs a [pacs] section (or send = [])')
        return self

    @property
    def delivers(self) -> bool:
        return self.mode == "live" and self.pacs is not None and bool(self.results.send)

    @property
    def promotes(self) -> bool:
        return self.mode == "live" and self.worklist.policy != "off"

    @property
    def database(self) -> Path:
        return self.storage.path / "triaged.sqlite3"

    @property
    def spool(self) -> Path:
        return self.storage.path / "spool"

    @property
    def artefacts(self) -> Path:
        return self.storage.path / "results"


def findings_digest(analysis: Analysis) -> str:
    """What, in the settings, can change a finding; part of every result object's UID. Of a calibration it is the
    content that counts. Raises ConfigError where that cannot be read."""
    said = f"{analysis.lungs}|{analysis.triage}"
    if analysis.calibration is not None:
        try:
            said += f"|{hashlib.sha256(analysis.calibration.read_bytes()).hexdigest()}"
        except OSError as error:
            problem = ("analysis.calibration", error.strerror or "cannot be read")
            raise ConfigError(str(analysis.calibration), [problem]) from error
    return hashlib.sha256(said.encode()).hexdigest()


LOOKS = 4  # wrong keys, wrong sections, a wrong whole; one more for what a placeholder brings to light

# What stands in for a required key that is missing, while the mistakes behind it are looked for.
PLACEHOLDERS: dict[str, Any] = {
    "storage": {"path": "."},
    "path": ".",
    "ae_title": "PACS",
    "host": "localhost",
    "port": 104,
}


def _key(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "(file)"


def _listed_as_tuples(value: object) -> object:
    """TOML has arrays, our frozen settings have tuples."""
    if isinstance(value, dict):
        return {k: _listed_as_tuples(v) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(_listed_as_tuples(v) for v in value)
    return value


def parse(text: str, source: str = "configuration") -> Config:
    """Settings from TOML text. Raises ConfigError naming every mistake with its key."""
    try:
        raw = _listed_as_tuples(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, [("(file)", f"not TOML: {error}")]) from error
    problems: list[tuple[str, str]] = []
    # Mistakes between keys show only once the keys themselves are right, so what is wrong gives way and we look again.
    for _ in range(LOOKS):
        try:
            config = Config.model_validate(raw)
        except ValidationError as error:
            known = {key for key, _ in problems}
            problems += [p for p in map(_problem, error.errors()) if p[0] not in known]
            gave_way = [_give_way(raw, e) for e in error.errors()]
            if not any(gave_way):
                break
        else:
            if not problems:
                return config
            break
    raise ConfigError(source, list(dict.fromkeys(problems)))


def _problem(error: ErrorDetails) -> tuple[str, str]:
    reason = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        sections = [Config, *(f.annotation for f in Config.model_fields.values()), Pacs, PriorityRule]
        known = {n for s in sections if isinstance(s, type) and issubclass(s, Section) for n in s.model_fields}
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        reason = f"unknown key; did you mean {near[0]}?" if near else "unknown key"
    return _key(error["loc"]), reason


def _give_way(raw: Any, error: ErrorDetails) -> bool:
    """Take a wrong key out of `raw`, an array as a whole, or put a missing one in; False where that cannot be."""
    location = list(itertools.takewhile(lambda part: isinstance(part, str), error["loc"]))
    if not location:
        return False
    *path, name = location
    section = raw
    for part in path:
        section = section.get(part)
        if not isinstance(section, dict):
            return False
    known = section.pop(name, None) is not None
    if error["type"] == "missing" and name in PLACEHOLDERS:
        section[name] = PLACEHOLDERS[str(name)]
        return True
    return known


def load(path: Path) -> Config:
    """Settings from a file. Raises ConfigError naming every mistake with its key."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(str(path), [("(file)", error.strerror or "cannot be read")]) from error
