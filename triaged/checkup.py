"""`triaged check`: would the daemon be able to do its work here and now?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom.uid import UID
from pynetdicom import AE

from triaged.clock import Now
from triaged.config import Config, Pacs
from triaged.disk import free_mb
from triaged.errors import StorageError
from triaged.repair import is_lost
from triaged.store import Store

VERIFICATION = UID("1.2.840.10008.1.1")  # PS3.4 A.4: Verification SOP Class
# The release of this version; a clock before it is wrong, and received_at would be too.
NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question, its answer in words, and whether the daemon can work with it."""

    name: str
    ok: bool
    words: str


def check_all(config: Config, now: Now) -> list[Check]:
    """Every check, in the order in which the daemon would meet them. A failing one does not hide the next."""
    before: list[Callable[[Config], Check]] = [_senders, _storage, _disk, _fsync]
    after: list[Callable[[Config], Check]] = [_database, _models]
    found = [*(check(config) for check in before), _clock(now), *(check(config) for check in after)]
    if config.pacs is not None:
        found.append(echo(config.pacs, config.dicom.ae_title))
    else:
        found.append(Check(name="pacs", ok=True, words="none configured: nothing will be delivered"))
    return found


def _senders(config: Config) -> Check:
    """Who may send. An address rule left out is either a door that stays shut or one that stands open."""
    dicom = config.dicom
    where = f"{dicom.host}:{dicom.port}"
    if dicom.is_loopback:
        return Check(name="senders", ok=True, words=f"this machine only, at {where}")
    if not dicom.networks and not dicom.calling_ae_titles:
        words = f"{where} is open to the network but nobody there may send: name the senders in [dicom] networks"
        return Check(name="senders", ok=False, words=words)
    if not dicom.networks:
        titles = ", ".join(dicom.calling_ae_titles)
        words = f"any address that calls itself {titles}, which is no secret: name [dicom] networks too"
        return Check(name="senders", ok=True, words=words)
    titles = f"as {', '.join(dicom.calling_ae_titles)}" if dicom.calling_ae_titles else "under any AE title"
    return Check(name="senders", ok=True, words=f"from {', '.join(dicom.networks)}, {titles}")


def _storage(config: Config) -> Check:
    path = config.storage.path
    try:
        path.mkdir(parents=True, exist_ok=True)
        ok = os.access(path, os.W_OK | os.X_OK)
    except OSError as error:
        return Check(name="storage", ok=False, words=f"{path}: {error.strerror}")
    return Check(name="storage", ok=ok, words=f"{path} is {'writable' if ok else 'not writable'}")


def _disk(config: Config) -> Check:
    least = config.storage.min_free_mb
    left = free_mb(_existing(config.storage.path))
    words = f"{left:.0f} MB free; receiving stops below {least} MB"
    return Check(name="disk", ok=left >= least, words=words)


def _fsync(config: Config) -> Check:
    """Every instance costs two of these before its Success; a disk that takes long bounds the rate of arrival."""
    probe = _existing(config.storage.path) / f".check-{os.getpid()}"
    try:
        began = time.perf_counter()
        with probe.open("wb") as file:
            file.write(b"\0" * 4096)
            os.fsync(file.fileno())
        took_ms = 1000 * (time.perf_counter() - began)
    except OSError as error:
        return Check(name="durability", ok=False, words=f"a synced write failed: {error.strerror}")
    finally:
        with suppress(OSError):  # where it could not be made, it cannot be removed
            probe.unlink()
    return Check(name="durability", ok=True, words=f"a synced write takes {took_ms:.1f} ms")


def _clock(now: Now) -> Check:
    return Check(name="clock", ok=now.utc > NOT_BEFORE, words=now.utc.isoformat(timespec="seconds"))


def _database(config: Config) -> Check:
    """Opened where it is, never made: an empty one would pass for the one that is missing."""
    if is_lost(config):
        words = f"{config.database} is missing but its images are not: run `triaged repair` first"
        return Check(name="database", ok=False, words=words)
    if _existing(config.storage.path).is_dir() and not config.database.exists():
        return Check(name="database", ok=True, words="none yet: the first start makes it")
    try:
        with Store(config.database) as store:
            counts = sum(store.studies.counts_by_state().values())
            return Check(name="database", ok=store.writable(), words=f"{counts} studies")
    except StorageError as error:
        return Check(name="database", ok=False, words=str(error))


def _models(config: Config) -> Check:
    from models.bundle import BundleError
    from models.predict import UnknownModel
    from triaged.analysis.calibration import CalibrationError
    from triaged.analysis.devices import devices
    from triaged.analysis.research import ResearchWeights, require_admitted

    settings = config.analysis
    device = devices(settings.device, settings.workers)[0]
    try:
        names = require_admitted(config, device)
    except (UnknownModel, BundleError, ResearchWeights, CalibrationError) as error:
        return Check(name="models", ok=False, words=str(error))
    return Check(name="models", ok=True, words=f"{', '.join(names)} on {device}")


def echo(pacs: Pacs, calling: str) -> Check:
    """C-ECHO to the PACS (PS3.4 annex A)."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(VERIFICATION)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = min(pacs.timeout_s, 10.0)
    peer = f"{pacs.ae_title} at {pacs.host}:{pacs.port}"
    association = ae.associate(pacs.host, pacs.port, ae_title=pacs.ae_title)
    if not association.is_established:
        why = "rejected the association" if association.is_rejected else "does not answer"
        return Check(name="pacs", ok=False, words=f"{peer} {why}")
    status = association.send_c_echo()
    association.release()
    ok = bool(status) and status.Status == 0x0000
    return Check(name="pacs", ok=ok, words=f"{peer} {'answers C-ECHO' if ok else 'refused C-ECHO'}")


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
