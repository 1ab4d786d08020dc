"""Where a network looked: maps from inside it on the volume that it was shown, as NIfTI and in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.case import Case
from models.maps import stretched
from models.prepare import pasted
from models.volume import Volume

Mask = NDArray[np.bool_]
Map = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention:
    """A map in [0, 1] on a volume's grid: what speaks for a class, relative to where that is strongest."""

    name: str
    values: Map
    seen: Mask  # what the network was shown

    def share(self, mask: Mask) -> float:
        """Of the map, in a mask; nan where the map is zero."""
        total = float(self.values.sum(dtype=np.float64))
        return float(self.values[mask].sum(dtype=np.float64)) / total if total else float("nan")

    def by_chance(self, mask: Mask) -> float:
        """What `share` would be if the network looked everywhere alike."""
        return float((mask & self.seen).sum() / self.seen.sum())


@contextmanager
def caught(module: nn.Module) -> Iterator[list[Any]]:
    """What a part of a network gives while the block runs, pass by pass. The network works as it always does."""
    found: list[Any] = []
    handle = module.register_forward_hook(lambda _module, _given, made: found.append(made))
    try:
        yield found
    finally:
        handle.remove()


def named(what: str, wanted: str | None, known: Sequence[str]) -> str:
    """The first that is known where none is wanted. Raises ValueError on one that is not known."""
    if not known:
        raise ValueError(f"the card does not name a {what}")
    if wanted is not None and wanted not in known:
        raise ValueError(f"no {what} {wanted!r}: {', '.join(known)}")
    return wanted or known[0]


def speaking_for(maps: Tensor) -> Tensor:
    """What is above 0, by its largest value; zeros where nothing is."""
    positive = maps.clamp(min=0.0)
    return positive / positive.max().clamp(min=torch.finfo(positive.dtype).tiny)


def attention(name: str, on_image: Tensor, case: Case) -> Attention:
    """A map (slice, row, column) over the extent of `case.image`, on whatever grid, brought to the volume linearly."""
    image = stretched(on_image[None, None].float().cpu(), case.image.shape)[0, 0].numpy()
    shown = np.ones(case.image.shape, np.float32)
    values, seen = (_on_volume(pasted(part, case), case.volume_shape) for part in (image, shown))
    return Attention(name=name, values=values, seen=seen > 0.5)


def save_nifti(found: Attention, volume: Volume, path: Path) -> Path:
    """The map on the volume's grid and place, without a word about the patient."""
    import nibabel

    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine_lps[:, [2, 1, 0, 3]]  # of (column, row, slice)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.ascontiguousarray(found.values.transpose(2, 1, 0)), ras)  # type: ignore[no-untyped-call]
    nibabel.save(image, path)
    return path


def _on_volume(whole: Map, shape: tuple[int, int, int]) -> Map:
    return np.asarray(stretched(torch.from_numpy(whole)[None, None], shape)[0, 0].numpy(), np.float32)
