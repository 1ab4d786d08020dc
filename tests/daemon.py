"""A real daemon for tests: `triaged serve` in a process of its own, on ports from the system."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from triaged.config import Config, load
from triaged.runtime import Runtime, read_runtime
from triaged.store import Store

START_S = 60.0

BASE: dict[str, dict[str, object]] = {
    "": {"mode": "live", "installation": "test"},
    "dicom": {"port": 0},
    "storage": {"min_free_mb": 64},
    "assembly": {"quiet_s": 1.0, "idle_s": 1.0, "hard_timeout_s": 60.0},
    # What a test of the machinery needs is a number, and soon: the learned models have tests of their own.
    "analysis": {"lungs": "classical-lungs", "triage": "thresholding"},
    "worklist": {"policy": "severity"},
    "results": {"publish_quiet_s": 1.0, "retry_first_s": 0.5, "retry_longest_s": 2.0},
    "web": {"port": 0},
}


@dataclass
class Daemon:
    """One daemon. `start` and `stop` keep its folder, so that it can be killed and taken up again."""

    folder: Path
    config: Config
    toml: Path
    _process: subprocess.Popen[bytes] | None = None
    _runtime: Runtime | None = None
    _logs: list[Path] = field(default_factory=list)

    def start(self) -> None:
        log = self.folder / f"daemon-{len(self._logs)}.log"
        self._logs.append(log)
        (self.config.storage.path / "daemon.json").unlink(missing_ok=True)
        with log.open("wb") as file:
            command = [sys.executable, "-m", "triaged", "serve", "--config", str(self.toml)]
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        self.wait_for(lambda: self._process.poll() is not None or self._read_runtime(), START_S)  # type: ignore[union-attr]
        assert self._runtime is not None, f"the daemon did not start\n{self.log}"

    def _read_runtime(self) -> bool:
        self._runtime = read_runtime(self.config.storage.path)
        return self._runtime is not None

    def stop(self, limit_s: float = 60.0) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(limit_s)

    def kill(self) -> None:
        """kill -9 of the supervisor; its children must notice by themselves."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def processes(self) -> dict[str, psutil.Process]:
        """The children by what they are: found by the names the supervisor gave them."""
        found = {}
        for child in psutil.Process(self.pid).children(recursive=True):
            command = " ".join(child.cmdline())
            if "spawn_main" in command:
                found[str(child.pid)] = child
        return found

    @property
    def dicom_port(self) -> int:
        assert self._runtime is not None
        return self._runtime.dicom_port

    @property
    def url(self) -> str:
        assert self._runtime is not None
        return f"http://127.0.0.1:{self._runtime.web_port}"

    @property
    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in self._logs)

    def get(self, path: str) -> Any:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as client:
            return client.get(path).raise_for_status().json()

    def worklist(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.get("/api/worklist")
        return items

    @contextmanager
    def store(self) -> Iterator[Store]:
        with Store(self.config.database) as store:
            yield store

    def wait_for(self, condition: Callable[[], object], limit_s: float = 60.0) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {limit_s:g} s\n{self.log[-4000:]}")
            time.sleep(0.1)

    def wait_until_ready(self, limit_s: float = 60.0) -> None:
        """Until /readyz says that studies can be received, analysed and shown."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as client:
            self.wait_for(lambda: client.get("/readyz").is_success, limit_s)

    def wait_until_decided(self, *study_uids: str, limit_s: float = 120.0) -> None:
        """Until each of these studies has an outcome that has seen everything that arrived."""
        with self.store() as store:

            def decided() -> bool:
                found = [store.studies.find(uid) for uid in study_uids]
                return all(
                    s is not None and s.state.has_outcome and s.generation == s.examined_generation for s in found
                )

            self.wait_for(decided, limit_s)

    def wait_until_delivered(self, *study_uids: str, limit_s: float = 60.0) -> None:
        """Until nothing of these studies waits to be sent."""
        with self.store() as store:

            def sent() -> bool:
                every = [d for uid in study_uids for d in store.deliveries.of(uid)]
                return bool(every) and all(d.state in {"sent", "confirmed", "superseded"} for d in every)

            self.wait_for(sent, limit_s)


@contextmanager
def running_daemon(folder: Path, changes: Mapping[str, Mapping[str, object]] | None = None) -> Iterator[Daemon]:
    """A daemon below `folder`; `changes` are TOML sections over ours. Stopped at the end, however the test went."""
    daemon = configured(folder, changes or {})
    daemon.start()
    try:
        yield daemon
    finally:
        if daemon._process is not None and daemon._process.poll() is None:
            try:
                daemon.stop()
            except subprocess.TimeoutExpired:
                daemon.kill()


def configured(folder: Path, changes: Mapping[str, Mapping[str, object]]) -> Daemon:
    """A daemon that has not been started."""
    sections = {name: dict(values) for name, values in BASE.items()}
    sections["storage"]["path"] = str(folder / "storage")
    for name, values in changes.items():
        sections.setdefault(name, {}).update(values)
    toml = folder / "triaged.toml"
    toml.write_text("\n".join(_section(name, values) for name, values in sections.items()))
    return Daemon(folder=folder, config=load(toml), toml=toml)


def _section(name: str, values: Mapping[str, object]) -> str:
    lines = [f"[{name}]"] if name else []
    return "\n".join([*lines, *(f"{key} = {_value(value)}" for key, value in values.items())])


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    return f'"{value}"' if isinstance(value, str) else str(value)
