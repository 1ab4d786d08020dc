"""The real application on a real port over a real store, for tests that talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry, Counter

from tests.unit.web import sample
from triaged.clock import now
from triaged.config import Config
from triaged.store import Store
from triaged.web.app import create_app
from triaged.web.serve import WebServer
from triaged.web.status import DaemonStatus


@dataclass
class Served:
    base: str
    store: Store
    config: Config
    server: WebServer
    uids: list[str]
    status: dict[str, object] = field(default_factory=dict)  # what a test changes about the daemon's status

    @contextmanager
    def client(self, reader: str = "") -> Iterator[httpx.Client]:
        """A browser without script: follows nothing by itself, keeps cookies, sends an Origin."""
        with httpx.Client(base_url=self.base, headers={"Origin": self.base}, timeout=30) as client:
            if reader:
                assert client.post("/reader", data={"reader": reader}).status_code == 303
            yield client


@contextmanager
def serving(
    folder: Path, *, more: str = "", web: str = "", cases: tuple[sample.Case, ...] = sample.CASES
) -> Iterator[Served]:
    config = sample.config(folder, more=more, web=web)
    with Store(config.database) as store:
        uids = sample.fill(store, config, now(), cases)
        registry = CollectorRegistry()
        Counter("triaged_sample", "One", registry=registry).inc()
        changed: dict[str, object] = {}

        def status() -> DaemonStatus:
            return sample.status(**({"database_writable": store.writable()} | changed))

        app = create_app(config, store, status=status, registry=registry)
        server = WebServer(app, "127.0.0.1", 0)
        server.start()
        try:
            yield Served(f"http://127.0.0.1:{server.port}", store, config, server, uids, changed)
        finally:
            server.stop()
