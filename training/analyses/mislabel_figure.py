"""Figure 6 of CT triage: affected percentage by visual grade, and a slice of each scan farthest from its band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.reading import to_axial
from models.volume import Volume
from training.analyses import drawing
from training.analyses.mislabels import BANDS, GRADES, Measured, Suspect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IN, OUT, BAND = drawing.COLOURS[0], drawing.COLOURS[2], "#dddddd"
WIDTH = 0.32  # over which the points of a grade are strewn, to either side
ACROSS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Slice:
    """A representative slice of a suspect: HU and lesions (row, column), rows to the back, columns to the left."""

    suspect: Suspect
    hu: NDArray[np.int16]
    lesions: NDArray[np.bool_]
    aspect: float


def draw(scans: Sequence[Measured], suspects: Sequence[Suspect], title: str) -> Figure:
    """Fig. 6a: every scan by its grade, over the band that the grade stands for."""
    figure = drawing.figure(6.0, 4.6)
    axes = figure.subplots()
    doubtful = {s.row for s in suspects}
    rng = np.random.default_rng(0)
    for place, grade in enumerate(GRADES):
        low, high = (100 * end for end in BANDS[grade])
        axes.fill_between([place - 0.45, place + 0.45], low, high, color=BAND, linewidth=0, zorder=0)
        for colour, marker, wanted in ((IN, "o", False), (OUT, "^", True)):
            values = [100 * s.affected for s in scans if s.grade == grade and (s.row in doubtful) == wanted]
            at = place + rng.uniform(-WIDTH, WIDTH, len(values))
            axes.scatter(at, values, s=10, color=colour, marker=marker, alpha=0.7, linewidths=0)
        values = [100 * s.affected for s in scans if s.grade == grade]
        if values:
            axes.hlines(float(np.median(values)), place - 0.45, place + 0.45, color="black", linewidth=1.2)
    counts = [sum(s.grade == grade for s in scans) for grade in GRADES]
    words = [f"{grade}\n(n = {n})" for grade, n in zip(GRADES, counts, strict=True)]
    axes.set_xticks(range(len(GRADES)), labels=words)
    axes.set_xlabel("visual grade")
    axes.set_ylabel("affected, worse lung, %")
    axes.set_ylim(-2, 102)
    axes.set_title(f"{title}: {len(doubtful)} of {len(scans)} outside their band", fontsize=9)
    return figure


def slice_of(suspect: Suspect, volume: Volume, lesions: NDArray[np.bool_]) -> Slice:
    """The slice with most lesion, the middle one where there is none."""
    hu, affine = to_axial(volume.hu, volume.affine_lps)
    turned = to_axial(lesions.astype(np.int16), volume.affine_lps)[0] > 0
    areas = turned.sum(axis=(1, 2))
    s = int(areas.argmax()) if areas.any() else hu.shape[0] // 2
    mm = np.linalg.norm(affine[:3, :3], axis=0)
    return Slice(suspect=suspect, hu=hu[s], lesions=turned[s], aspect=float(mm[1] / mm[2]))


def gallery(slices: Sequence[Slice]) -> Figure:
    """Fig. 6b: one slice of each, with its grade and what was found; lesions are outlined."""
    down = -(-len(slices) // ACROSS)
    figure = drawing.figure(3.0 * ACROSS, 3.1 * down)
    panels = figure.subplots(down, ACROSS, squeeze=False).ravel()
    low, high = drawing.WINDOW_HU
    for axes, one in zip(panels, slices, strict=False):
        axes.imshow(one.hu, cmap="gray", vmin=low, vmax=high, aspect=one.aspect)
        if one.lesions.any() and not one.lesions.all():
            axes.contour(one.lesions.astype(np.float32), levels=[0.5], colors=drawing.COLOURS[1], linewidths=0.7)
        suspect = one.suspect
        axes.set_title(f"{suspect.grade}, {100 * suspect.affected:.1f} % (row {suspect.row})", fontsize=9)
    for axes in panels:
        axes.set_axis_off()
    return figure
