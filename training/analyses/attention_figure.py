"""A study and what a network looked at, in three planes through the place it looked at most (COVID-MTL, Fig. 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from models.prepare import bounding_box
from models.reading import to_axial
from models.volume import Volume
from training.analyses import drawing
from training.analyses.attention import Attention, Map, Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

T = TypeVar("T", bound=np.generic)
PLANES = ("axial", "coronal", "sagittal")
MARGIN_MM = 15.0  # around the lungs
MOST = 0.65  # opacity where the map is 1
PLATEAU = 0.98  # of the largest value: coarse maps have many voxels that are as good
LUNGS, LESIONS = "white", "#33bbee"
COLOURS = ((0.95, 0.9, 0.25), (0.84, 0.15, 0.1))  # yellow to red, darker as it rises


def draw(volume: Volume, lungs: Mask, maps: Sequence[Attention], title: str, lesions: Mask | None = None) -> Figure:
    """One row of the CT alone and one for each map, all through the voxel of the lungs where the last map is largest.
    Lungs are outlined, and lesions where they are given. The patient's right is on the left, the head up."""
    height = 2.6 * (1 + len(maps))
    figure = drawing.figure(9.0, height)
    hu, affine = to_axial(volume.hu, volume.affine_lps)
    mm = np.linalg.norm(affine[:3, :3], axis=0)
    inside = _axial(lungs, volume)
    box = _around(inside, mm)
    values = [_axial(m.values, volume) for m in maps]
    peak = _strongest(values[-1], inside)
    marked = [(inside, LUNGS)] if lesions is None else [(inside, LUNGS), (_axial(lesions, volume), LESIONS)]
    panels = figure.subplots(1 + len(maps), 3, squeeze=False)
    shown: AxesImage | None = None
    for row, layer in zip(panels, [None, *values], strict=True):
        for axis, axes in enumerate(row):
            aspect = (mm[1] / mm[2], mm[0] / mm[2], mm[0] / mm[1])[axis]
            style = {"aspect": aspect, "origin": "upper" if axis == 0 else "lower"}
            low, high = drawing.WINDOW_HU
            axes.imshow(_plane(hu, axis, peak, box), cmap="gray", vmin=low, vmax=high, **style)
            if layer is not None:
                plane = _plane(layer, axis, peak, box)
                shown = axes.imshow(plane, cmap=_ramp(), vmin=0, vmax=1, alpha=MOST * np.clip(plane, 0, 1), **style)
            for mask, colour in marked:
                _outline(axes, _plane(mask, axis, peak, box), colour)
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, name in zip(panels[0], PLANES, strict=True):
        axes.set_title(name, fontsize=9)
    for axes, name in zip(panels[:, 0], ["CT", *(m.name for m in maps)], strict=True):
        axes.set_ylabel(name, fontsize=8)
    assert shown is not None
    bar = figure.colorbar(shown, ax=panels, fraction=0.02, label="speaks for the class, by its largest value")
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=9)
    return figure


def _axial(array: NDArray[T], volume: Volume) -> NDArray[T]:
    turned, _ = to_axial(cast("NDArray[np.int16]", array), volume.affine_lps)  # it moves values, whatever they are
    return cast("NDArray[T]", turned)


def _around(mask: Mask, mm: NDArray[np.float64]) -> tuple[slice, ...]:
    """The box of a mask and a margin; everything where the mask is empty."""
    if not mask.any():
        return tuple(slice(0, n) for n in mask.shape)
    margins = [round(MARGIN_MM / float(step)) for step in mm]
    return tuple(
        slice(max(0, low - margin), min(n, high + margin))
        for (low, high), margin, n in zip(bounding_box(mask), margins, mask.shape, strict=True)
    )


def _strongest(values: Map, inside: Mask) -> tuple[int, ...]:
    """The voxel of the lungs where a map is largest; of a plateau, the one next to its middle."""
    shown = np.where(inside, values, np.float32(-1.0)) if inside.any() else values
    top = np.argwhere(shown >= PLATEAU * shown.max())
    nearest = top[((top - top.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return tuple(int(n) for n in nearest)


def _plane(array: NDArray[T], axis: int, at: Sequence[int], box: tuple[slice, ...]) -> NDArray[T]:
    index: list[slice | int] = list(box)
    index[axis] = at[axis]
    return array[tuple(index)]


def _outline(axes: Axes, mask: Mask, colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask.astype(np.float32), levels=[0.5], colors=colour, linewidths=0.6)


def _ramp() -> object:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("attention", COLOURS)
