"""What an analysis leaves on disk for those after it: masks for the encoder, pictures for the board.

One folder per study and revision under `[storage] path`/results. It is complete and synced before the outcome is
committed, so that a committed revision always has its folder; and it takes its place in the transaction that commits,
so that a worker whose claim was lost touches none. Names hold UIDs and numbers only.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triaged.masks import Masks

MASKS = "masks.npz"
CORONAL = "coronal.png"  # the X-ray-like view alone: what the picture is composed from
PICTURE = "picture.png"
THUMBNAIL = "thumbnail.png"
KEY_SLICES = "key-slices.json"
UNFINISHED = ".tmp"


@dataclass(frozen=True, kw_only=True)
class KeySlice:
    """One of the most affected axial slices, drawn with the lesion outline."""

    file: str
    sop_uid: str
    slice_index: int
    affected_fraction: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Artefacts:
    masks: Masks
    coronal_png: bytes
    picture_png: bytes
    thumbnail_png: bytes
    key_slices: Sequence[tuple[KeySlice, bytes]]


def folder(root: Path, study_uid: str, revision: int) -> Path:
    return root / study_uid / str(revision)


def write(root: Path, study_uid: str, revision: int, artefacts: Artefacts) -> Path:
    """Write the folder of one revision, for a caller who has the study to itself."""
    return place(write_aside(root, study_uid, artefacts), folder(root, study_uid, revision))


def write_aside(root: Path, study_uid: str, artefacts: Artefacts) -> Path:
    """Write a folder under a name of its own beside the study's revisions, whole and synced."""
    temporary = root / study_uid / f"{uuid.uuid4().hex}{UNFINISHED}"
    temporary.mkdir(parents=True)
    _write_masks(temporary / MASKS, artefacts.masks)
    (temporary / CORONAL).write_bytes(artefacts.coronal_png)
    (temporary / PICTURE).write_bytes(artefacts.picture_png)
    (temporary / THUMBNAIL).write_bytes(artefacts.thumbnail_png)
    for key, png in artefacts.key_slices:
        (temporary / key.file).write_bytes(png)
    (temporary / KEY_SLICES).write_text(json.dumps([asdict(key) for key, _ in artefacts.key_slices]))
    for path in (*temporary.iterdir(), temporary):
        sync(path)
    return temporary


def place(temporary: Path, final: Path) -> Path:
    """Give a folder its place, replacing one that was never committed (its worker died before it could)."""
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    for parent in (final.parent, final.parent.parent):
        sync(parent)
    return final


def remove_unfinished(root: Path) -> int:
    """Delete what workers that died left aside, while none works; returns how many folders."""
    left = list(root.glob(f"*/*{UNFINISHED}"))
    for temporary in left:
        shutil.rmtree(temporary, ignore_errors=True)
    return len(left)


def _write_masks(path: Path, masks: Masks) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "lungs": masks.lungs,
        "sop_uids": np.array([uid for uid, _ in masks.sources], dtype="U64"),
        "frames": np.array([frame for _, frame in masks.sources], dtype=np.int32),
    }
    if masks.lesions is not None:
        arrays["lesions"] = np.packbits(masks.lesions)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def read_masks(path: Path) -> Masks:
    """The masks of one revision's folder."""
    with np.load(path / MASKS, allow_pickle=False) as stored:
        lungs: NDArray[np.uint8] = stored["lungs"]
        lesions: NDArray[np.bool_] | None = None
        if "lesions" in stored:
            lesions = np.unpackbits(stored["lesions"], count=lungs.size).reshape(lungs.shape).astype(np.bool_)
        sources = tuple((str(u), int(f)) for u, f in zip(stored["sop_uids"], stored["frames"], strict=True))
    return Masks(lungs=lungs, lesions=lesions, sources=sources)


def read_key_slices(path: Path) -> list[KeySlice]:
    return [KeySlice(**entry) for entry in json.loads((path / KEY_SLICES).read_text())]


def sync(path: Path) -> None:
    """fsync a file or a folder: after this, a power cut does not take it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
