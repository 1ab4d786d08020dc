"""What other processes do in the store's tests: module-level functions, so that spawn can find them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.unit.worklist.house import START, House, config_of
from triaged.clock import now
from triaged.store import Store


def claim_all(folder: Path, worker: str) -> list[str]:
    """Claim until nothing is left; the studies, in the order they were got."""
    got = []
    with Store(config_of(folder).database) as store:
        while (claim := store.queue.claim(worker, now())) is not None:
            got.append(claim.study.study_uid)
    return got


def open_new(folder: Path, worker: str) -> str:
    """Open the database, which may not exist yet; its UID."""
    with Store(config_of(folder).database) as store:
        store.events.add("opened", now(), detail={"by": worker})
        return store.installation_uid


def die_while_writing(folder: Path) -> None:
    """Commit one study, begin another, and be killed in the middle of its transaction."""
    config = config_of(folder)
    house = House(Store(config.database), config)
    house.arrive("1.1", START)
    with house.store.atomic():
        house.arrive("1.2", START)
        house.store.execute("DELETE FROM events")
        os.kill(os.getpid(), signal.SIGKILL)
