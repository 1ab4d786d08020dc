"""Figure 1 (d) to (i) of DeepSC-COVID, drawn from the lesions of any data set."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from training.analyses import drawing
from training.analyses.lesions import AXES, HU_EDGES, LVR_EDGES, NAMES, SIGMAS_MM, Findings, Scan, curves, density

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COUNTED = 10  # lesions; scans with more are drawn with these
SHOWN_LESIONS = 372  # of each kind at most; the paper draws as many in all
MARKERS = {"covid": "o", "cap": "^"}
LINES = {"covid": "-", "cap": "--"}
COLOURS = {"covid": drawing.COLOURS[2], "cap": drawing.COLOURS[0]}


def draw(found: Findings) -> Figure:
    """Seven panels; the number of scans and lesions is in the legend, what they are in the title."""
    figure = drawing.figure(13.0, 6.2)
    panels = list(figure.subplots(2, 4).ravel())
    there = {kind: scans for kind, scans in found.scans.items() if scans}
    _counts(panels[0], there)
    _sizes(panels[1], there, 0)
    _sizes(panels[2], there, 1)
    _density(panels[3], there)
    _volumes(panels[4], there)
    _spread(panels[5], there)
    _periphery(panels[6], there)
    drawing.lettered(panels[:7])
    panels[7].set_axis_off()
    handles, _ = panels[6].get_legend_handles_labels()
    words = [f"{NAMES[k]} (n = {len(s)} scans, {sum(x.count for x in s)} lesions)" for k, s in there.items()]
    panels[7].legend(handles, words, loc="center", frameon=False, fontsize=9)
    figure.suptitle(found.description, fontsize=8)
    return figure


def _counts(axes: Axes, there: dict[str, tuple[Scan, ...]]) -> None:
    places = np.arange(MOST_COUNTED + 1)
    for number, (kind, scans) in enumerate(there.items()):
        counts = np.minimum([s.count for s in scans], MOST_COUNTED)
        shares = 100 * np.bincount(counts, minlength=places.size) / len(scans)
        axes.bar(places + 0.4 * (number - 0.5), shares, width=0.38, color=COLOURS[kind])
    axes.set_xticks(places, labels=[*map(str, places[:-1]), f"≥{MOST_COUNTED}"], fontsize=7)
    axes.set_xlabel("lesions per scan")
    axes.set_ylabel("scans, %")


def _sizes(axes: Axes, there: dict[str, tuple[Scan, ...]], across: int) -> None:
    """Height of lesions against their width or length."""
    for kind, scans in there.items():
        sizes = np.concatenate([s.sizes_mm for s in scans])
        shown = np.random.default_rng(0).permutation(len(sizes))[:SHOWN_LESIONS]
        width, height = sizes[shown, across], sizes[shown, 2]
        axes.scatter(width, height, s=12, marker=MARKERS[kind], color=COLOURS[kind], alpha=0.6, linewidths=0)
    axes.set_xlabel(f"lesion {AXES[across]}, mm")
    axes.set_ylabel("lesion height, mm")


def _density(axes: Axes, there: dict[str, tuple[Scan, ...]]) -> None:
    middles = (HU_EDGES[:-1] + HU_EDGES[1:]) / 2
    for kind, scans in there.items():
        axes.plot(middles, 100 * density(scans), color=COLOURS[kind], linestyle=LINES[kind])
    axes.set_xticks(range(-1000, 301, 250))
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("HU inside lesions")
    axes.set_ylabel(f"lesion volume, % per {np.diff(HU_EDGES)[0]:g} HU")


def _volumes(axes: Axes, there: dict[str, tuple[Scan, ...]]) -> None:
    for number, (kind, scans) in enumerate(there.items()):
        shares = 100 * np.array(curves(scans)["scans by LVR"]) / len(scans)
        axes.bar(np.arange(shares.size) + 0.4 * (number - 0.5), shares, width=0.38, color=COLOURS[kind])
    _by_lvr(axes)
    axes.set_ylabel("scans, %")


def _spread(axes: Axes, there: dict[str, tuple[Scan, ...]]) -> None:
    for number, (kind, scans) in enumerate(there.items()):
        means = [np.nan if v is None else v for v in curves(scans)["mean spread by LVR, mm"]]
        axes.bar(np.arange(len(means)) + 0.4 * (number - 0.5), means, width=0.38, color=COLOURS[kind])
    _by_lvr(axes)
    axes.set_ylabel("spread of lesion centres, mm")


def _periphery(axes: Axes, there: dict[str, tuple[Scan, ...]]) -> None:
    for kind, scans in there.items():
        mean = curves(scans)["mean PLR"]
        values = np.full(SIGMAS_MM.size, np.nan) if mean is None else mean
        axes.plot(SIGMAS_MM, 100 * values, color=COLOURS[kind], label=NAMES[kind], linestyle=LINES[kind])
    axes.set_xlabel("peripheral thickness, mm")
    axes.set_ylabel("peripheral lesion ratio, %")
    axes.set_ylim(0, 100)


def _by_lvr(axes: Axes) -> None:
    edges = [round(100 * e) if np.isfinite(e) else None for e in LVR_EDGES]
    words = [f"≥{a}" if b is None else f"{a}–{b}" for a, b in pairwise(edges)]
    axes.set_xticks(range(len(words)), labels=words, fontsize=7)
    axes.set_xlabel("lesion volume by lung volume, %")
