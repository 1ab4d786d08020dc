"""The reliability plot of a calibration: what was said against what was so, before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import binomtest

from training.scores import BINS, bin_of

SIDE, MARGIN, GAP, COUNTS = 360, 56, 40, 60  # pixels: the square, around it, between the two, the histogram below
INK, FAINT, POINT = (30, 30, 30), (205, 205, 205), (0, 90, 170)
RADIUS = 4

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]


def plot(before: Scores, after: Scores, labels: Labels, path: Path) -> None:
    """Write a PNG with two panels: mean prediction against the share of positives in each bin, with Wilson's 95 %
    interval, the diagonal, and how many cases lie in each bin."""
    image = Image.new("RGB", (2 * (MARGIN + SIDE) + GAP, 2 * MARGIN + SIDE + COUNTS), "white")
    draw = ImageDraw.Draw(image)
    panels = ((MARGIN, "score as it comes", before), (MARGIN + SIDE + GAP, "mapped, on held-out cases", after))
    for left, title, values in panels:
        _panel(draw, left, title, values, labels)
    image.save(path, "PNG", optimize=True)


def bins(values: Scores, labels: Labels) -> list[tuple[float, float, float, float, int]]:
    """(mean prediction, share of positives, its low, its high, cases) of every bin that holds a case."""
    at = bin_of(values)
    found = []
    for number in np.unique(at):
        inside = at == number
        n, positives = int(inside.sum()), int(labels[inside].sum())
        wilson = binomtest(positives, n).proportion_ci(method="wilson")
        found.append((float(values[inside].mean()), positives / n, float(wilson.low), float(wilson.high), n))
    return found


def _panel(draw: ImageDraw.ImageDraw, left: int, title: str, values: Scores, labels: Labels) -> None:
    font = ImageFont.load_default(size=13)
    bottom, floor = MARGIN + SIDE, MARGIN + SIDE + COUNTS

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * SIDE, bottom - y * SIDE

    for tick in np.linspace(0.0, 1.0, 6):
        draw.line([at(tick, 0), at(tick, 1)], FAINT)
        draw.line([at(0, tick), at(1, tick)], FAINT)
        draw.text((at(tick, 0)[0], floor + 4), f"{tick:.1f}", INK, font, anchor="mt")
        draw.text((left - 6, at(0, tick)[1]), f"{tick:.1f}", INK, font, anchor="rm")
    draw.line([at(0, 0), at(1, 1)], INK)
    drawn = bins(values, labels)
    most = max(n for *_, n in drawn)
    for said, seen, low, high, n in drawn:
        draw.line([at(said, low), at(said, high)], POINT, width=2)
        x, y = at(said, seen)
        draw.ellipse([x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS], fill=POINT)
        bar = int(bin_of(np.array([said]))[0])
        box = [at(bar / BINS, 0)[0] + 2, floor - (COUNTS - 12) * n / most, at((bar + 1) / BINS, 0)[0] - 2, floor]
        draw.rectangle(box, FAINT)
    draw.rectangle([left, MARGIN, left + SIDE, bottom], outline=INK)
    draw.text((left + SIDE / 2, MARGIN - 10), title, INK, font, anchor="mb")
    draw.text((left + SIDE / 2, floor + 22), "predicted (bars: cases)", INK, font, anchor="mt")
    draw.text((left + 8, MARGIN + 8), "share of positives", INK, font)
