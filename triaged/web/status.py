"""How the daemon is: the record its supervisor fills in, and what the board says about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from triaged.clock import Now
from triaged.web import words


@dataclass(frozen=True, kw_only=True)
class DaemonStatus:
    """The parts of the daemon at one moment. Holds no patient identity: /readyz and /api/status show it."""

    listener_up: bool
    workers_up: int
    workers_wanted: int
    outbox_up: bool | None  # None: nothing is to be delivered
    database_writable: bool
    disk_free_mb: int
    disk_filling: bool  # little room is left; images are still accepted
    disk_full: bool = False  # images are being refused (0xA700)
    parked_deliveries: int = 0
    pacs_refusal: str = ""  # why the PACS rejects every association with us; empty where it does not
    void_studies: int = 0  # studies with results in the PACS that hold no longer
    synthetic_weights: bool = False  # some model in use was trained on synthetic data

    @property
    def checks(self) -> dict[str, bool]:
        """What must hold for studies to be received, analysed and shown; for /readyz."""
        return {
            "database": self.database_writable,
            "disk": not self.disk_full,
            "listener": self.listener_up,
            "worker": self.workers_up > 0,
        }

    @property
    def ready(self) -> bool:
        return all(self.checks.values())

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "ready": self.ready, "checks": self.checks}


def troubles(status: DaemonStatus) -> list[str]:
    """What is wrong, as sentences for the banner; empty where nothing is. The gravest first."""
    said = []
    if not status.listener_up:
        said.append("The listener is down: no new studies are being received.")
    if status.disk_full:
        said.append("The disk is full: new studies are being refused.")
    if not status.database_writable:
        said.append("The database cannot be written: claims and readings are not being kept.")
    if status.workers_up == 0:
        said.append("Analysis is down: order is by arrival. New studies are listed, and none is promoted.")
    elif status.workers_up < status.workers_wanted:
        said.append(f"Analysis is slow: {status.workers_up} of {status.workers_wanted} workers are up.")
    if status.disk_filling and not status.disk_full:
        said.append(f"The disk is filling: {status.disk_free_mb / 1024:.1f} GB left.")
    if status.outbox_up is False:
        said.append("Delivery is down: results are not reaching the PACS.")
    if status.pacs_refusal:
        said.append(f"Results are waiting: {status.pacs_refusal}.")
    if status.parked_deliveries:
        said.append(f"{words.plural(status.parked_deliveries, 'result')} could not be delivered: a person must look.")
    if status.void_studies:
        said.append(
            f"The PACS holds results of {words.plural(status.void_studies, 'study', 'studies')} whose images are of "
            "several patients: remove them there, then withdraw the study here."
        )
    return said


def since(value: datetime | None, now: Now, never: str) -> str:
    """ "2 min ago", or `never` where it has not happened."""
    return never if value is None else f"{words.brief_duration((now.utc - value).total_seconds())} ago"
