"""One committed revision -> the bytes of its result objects, made once and on disk before anything is sent.

The objects follow from the outcome, the masks and the headers of the images they were made from; their UIDs were
fixed when the outcome was committed. Whatever is sent, now or after a crash, are the bytes written here.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from triaged import artefacts, clock
from triaged.artefacts import sync
from triaged.clock import Now
from triaged.config import Config
from triaged.errors import DeliveryError
from triaged.intake.spool import Spool
from triaged.masks import Masks
from triaged.records import Delivery, DeliveryState, Outcome, Role
from triaged.results.build import ResultInput, build_results, to_bytes
from triaged.store import Store

# The builders work frame by frame: on 64, 160 and 320 slices of 512 x 512 they peaked 107 to 115 MiB above the masks.
# Twice that, and the encoded frames.
MEMORY_BYTES = 256 << 20
MEMORY_BYTES_PER_VOXEL = 1


def encode(
    store: Store,
    spool: Spool,
    config: Config,
    deliveries: Sequence[Delivery],
    *,
    clock: Callable[[], Now] = clock.now,
) -> None:
    """Make every object of the revision that `deliveries`, of one study and revision, belong to.

    The bytes are on disk, then in the rows. Does nothing where they already are. Raises DeliveryError: permanent where
    images or masks are gone or a UID is not the planned one, transient where memory or the disk is short.
    """
    if all(d.path is not None for d in deliveries):
        return
    began = time.perf_counter()
    study_uid, revision = deliveries[0].study_uid, deliveries[0].revision
    planned = [d for d in store.deliveries.of(study_uid) if d.revision == revision]
    wanted = result_input(store, spool, config, study_uid, revision)
    folder = artefacts.folder(config.artefacts, study_uid, revision)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes the values it warns about, and a name is a value
        built = build_results(wanted, [d.role for d in planned])
    try:
        made = [(d, *_write(folder, d, built[d.role])) for d in planned if d.path is None]
        sync(folder)
    except OSError as error:  # a full disk, most likely: it will not be full for ever
        raise DeliveryError(f"the encoded results cannot be written: {error.strerror}", permanent=False) from error
    store.deliveries.encoded(
        [(d, str(path.relative_to(config.storage.path)), sha256) for d, path, sha256 in made],
        seconds=round(time.perf_counter() - began, 3),
        now=clock(),
    )


def result_input(store: Store, spool: Spool, config: Config, study_uid: str, revision: int) -> ResultInput:
    """What the builders need, from the store, the analysis' folder and the spool. Raises DeliveryError."""
    committed_at, outcome = _outcome(store, study_uid, revision)
    assert outcome.findings is not None
    assert outcome.choice is not None
    folder = artefacts.folder(config.artefacts, study_uid, revision)
    try:
        masks = artefacts.read_masks(folder)
        projection = _picture(folder / artefacts.CORONAL)
    except (OSError, ValueError, KeyError) as error:
        raise DeliveryError(f"the masks of revision {revision} cannot be read", permanent=True) from error
    _needs_memory(masks)
    return ResultInput(
        source=source_headers(spool, study_uid, outcome.choice.series_uid, masks),
        findings=outcome.findings,
        choice=outcome.choice,
        masks=masks,
        projection=projection,
        installation_uid=store.installation_uid,
        made_at=committed_at,
        revision=revision,
        predecessor=_predecessor(store, config, study_uid, revision),
    )


def source_headers(spool: Spool, study_uid: str, series_uid: str, masks: Masks) -> list[Dataset]:
    """Headers of the instances the masks lie on, in their order, each once. Raises DeliveryError."""
    found = {path.stem: path for path in spool.paths(study_uid, series_uid)}
    wanted = dict.fromkeys(uid for uid, _ in masks.sources)
    gone = [uid for uid in wanted if uid not in found]
    if gone:
        raise DeliveryError(f"{len(gone)} of {len(wanted)} source images are gone from the spool", permanent=True)
    return [_header(found[uid]) for uid in wanted]


def _header(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dcmread(path, stop_before_pixels=True)
    except (OSError, InvalidDicomError, ValueError, EOFError) as error:
        raise DeliveryError(f"source image {path.stem} cannot be read", permanent=True) from error


def _outcome(store: Store, study_uid: str, revision: int) -> tuple[datetime, Outcome]:
    for number, committed_at, outcome in store.studies.outcomes(study_uid):
        if number == revision and outcome.findings is not None and outcome.choice is not None:
            return committed_at, outcome
    raise DeliveryError(f"revision {revision} has no findings to report", permanent=True)


def _picture(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _needs_memory(masks: Masks) -> None:
    need = MEMORY_BYTES + MEMORY_BYTES_PER_VOXEL * masks.lungs.size
    if need > psutil.virtual_memory().available:
        raise DeliveryError(f"not enough memory to encode now: about {need >> 20} MiB needed", permanent=False)


def _predecessor(store: Store, config: Config, study_uid: str, revision: int) -> Dataset | None:
    """Header of the latest earlier SR that the PACS has, for PredecessorDocumentsSequence; None where it has none."""
    has = {DeliveryState.SENT, DeliveryState.CONFIRMED}
    sent = [d for d in store.deliveries.of(study_uid) if d.role is Role.SR and d.revision < revision and d.state in has]
    if not sent:
        return None
    latest = max(sent, key=lambda d: d.revision)
    return None if latest.path is None else _header(config.storage.path / latest.path)


def _write(folder: Path, delivery: Delivery, built: Dataset) -> tuple[Path, str]:
    """Write one object, whole and synced; returns its path and sha256. Raises DeliveryError on a foreign UID."""
    if (built.SOPInstanceUID, built.SeriesInstanceUID) != (delivery.sop_uid, delivery.series_uid):
        raise DeliveryError(
            f"the {delivery.role} that was built is not the one that was planned: its UIDs differ "
            "(was the program changed between analysis and encoding?)",
            permanent=True,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = to_bytes(built)
    final = folder / f"{delivery.role}.dcm"
    temporary = final.with_suffix(".tmp")
    temporary.write_bytes(content)
    sync(temporary)
    os.replace(temporary, final)
    return final, hashlib.sha256(content).hexdigest()
