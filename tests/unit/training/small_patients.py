"""Tiny patients on the networks' grid: two ellipses of lung, and a lesion where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.datasets.stored import TRAIN, VALIDATION, StoredPatient, store

# `--set` under which the two networks of CT triage are small and quick, and see another batch in every step.
_QUICK = ("width=2", "levels=3", "steps=8", "validate_every=4", "pixel_mm=2", "by_heart=false")
SMALLER = {
    "lungs-unet": (*_QUICK, "plane=48", "lr=1e-3", "dice=true", "augment=true"),
    "ct-triage": (
        *_QUICK,
        "pyramid_hidden=4",
        "lr=1e-3",
        "dice=true",
        "augment=true",
        "select=AUC and Dice",
        "everything_annotated=true",
    ),
}

KINDS = ("covid", "normal", "cap", "other", "covid", "normal")


def patient(seed: int, *, lesion: bool, slices: int = 9, rows: int = 44, columns: int = 57) -> StoredPatient:
    rng = np.random.default_rng(seed)
    s, y, x = np.mgrid[:slices, :rows, :columns]
    right, left = (
        ((s - slices / 2) / (slices / 2.4)) ** 2 + ((y - rows / 2) / 14) ** 2 + ((x - centre) / 9) ** 2 <= 1
        for centre in (columns / 2 - 12 + rng.uniform(-1, 1), columns / 2 + 12 + rng.uniform(-1, 1))
    )
    body = ((y - rows / 2) / 20) ** 2 + ((x - columns / 2) / 26) ** 2 <= 1
    lungs = right | left
    spot = right & (np.hypot(y - rows / 2 - 4, x - columns / 2 + 12) < 6) if lesion else np.zeros_like(lungs)
    hu = np.where(lungs, np.where(spot, -300, -850), np.where(body, 40, -1000)) + rng.normal(0, 15, lungs.shape)
    return StoredPatient(hu=np.rint(hu).astype(np.int16), lungs=lungs, lesions=spot, spacing_mm=(8.0, 2.0, 2.0))


def patients(first: int) -> Iterator[tuple[str, StoredPatient]]:
    for n, kind in enumerate(KINDS):
        yield kind, patient(first + n, lesion=kind in ("covid", "cap"))


def written(folder: Path) -> Path:
    """A data folder as `triaged train --data` takes it."""
    store(folder / TRAIN, patients(0), "6 tiny patients")
    store(folder / VALIDATION, patients(100), "6 other tiny patients")
    return folder
