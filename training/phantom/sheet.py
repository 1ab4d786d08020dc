"""A contact sheet: one row of slices per study, to be looked at beside real ones."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.reading import read_dicom_series
from models.volume import Volume

WINDOW_HU = (-1150.0, 250.0)  # lung window, wide enough to tell muscle from fat
TILE_PX = 150
ACROSS = 6
FIRST, LAST = 0.22, 0.86  # of the scan, from its foot end: from the recesses to the apices


def contact_sheet(rows: Iterable[tuple[str, Volume]]) -> bytes:
    """A PNG: each volume (slices from foot to head) in a row of evenly spaced slices under its caption."""
    drawn = [_row(caption, volume) for caption, volume in rows]
    sheet = Image.fromarray(np.concatenate(drawn, axis=0))
    out = io.BytesIO()
    sheet.quantize(64, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def sheet_of(folders: Iterable[tuple[str, Path]]) -> bytes:
    """The same of DICOM series on disk: a caption and the folder of one series each."""
    return contact_sheet((caption, read_dicom_series(sorted(folder.glob("*.dcm")))) for caption, folder in folders)


def _row(caption: str, volume: Volume) -> NDArray[np.uint8]:
    low, high = WINDOW_HU
    last = volume.shape[0] - 1
    chosen = np.linspace(FIRST * last, LAST * last, ACROSS).round().astype(int)
    tiles = []
    for k in chosen if volume.affine_lps[2, 0] > 0 else last - chosen:
        grey = (np.clip((volume.hu[k] - low) / (high - low), 0.0, 1.0) * 255).astype(np.uint8)
        tiles.append(np.asarray(Image.fromarray(grey).resize((TILE_PX, TILE_PX), Image.Resampling.BOX)))
    row = Image.fromarray(np.concatenate(tiles, axis=1))
    ImageDraw.Draw(row).text((4, 2), caption, fill=255)
    return np.asarray(row)
