"""Plots as SVG text, to stand in a page of their own without any library or file beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from training.reliability import bins

SIDE, LEFT, TOP, BELOW, RIGHT = 300, 46, 20, 44, 12  # pixels: the square and what is around it
COLOURS = (
    "#6b6b6b",
    "#0a5aa8",
    "#c2410c",
    "#15803d",
    "#7e22ce",
    "#0e7490",
)  # told apart in print by the legend's order
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
Point = tuple[float, float]


def roc_points(scores: Values, positive: Flags) -> list[Point]:
    """(1 - specificity, sensitivity) at every threshold, from (0, 0) to (1, 1); equal scores are passed together."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], positive[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), ordered.size - 1)
    tp, fp = np.cumsum(hits)[last], np.cumsum(~hits)[last]
    sensitivity = tp / max(int(positive.sum()), 1)
    fall_out = fp / max(int((~positive).sum()), 1)
    return [(0.0, 0.0), *zip(fall_out.tolist(), sensitivity.tolist(), strict=True)]


def area_under(points: Sequence[Point]) -> float:
    """Of a curve of `roc_points`."""
    across, up = np.array(points).T
    return float((np.diff(across) * (up[1:] + up[:-1]) / 2.0).sum())


def roc(curves: Mapping[str, Sequence[Point]], title: str) -> str:
    """One curve per pipeline; `curves` has its label, with the area, as it shall stand in the legend."""
    parts = [_line([(0.0, 0.0), (1.0, 1.0)], "#bbbbbb", dashed=True)]
    for number, (label, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        parts += [_line(points, colour), _legend(label, colour, len(curves) - 1 - number)]
    return _square(parts, title, "1 − specificity", "sensitivity")


def reliability(scores: Values, positive: Flags, title: str, colour: str = COLOURS[1]) -> str:
    """Mean score against the share of positives in each of ten bins, with Wilson's 95 % interval and the cases."""
    parts = [_line([(0.0, 0.0), (1.0, 1.0)], "#bbbbbb", dashed=True)]
    for said, seen, low, high, n in bins(scores, positive):
        x, y = _at((said, seen))
        parts.append(_line([(said, low), (said, high)], colour))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"><title>{n} cases</title></circle>')
        parts.append(f'<text x="{x + 6:.1f}" y="{y - 5:.1f}" font-size="10">{n}</text>')
    return _square(parts, title, "score", "share of COVID-19")


def _at(point: Point) -> Point:
    return LEFT + point[0] * SIDE, TOP + (1.0 - point[1]) * SIDE


def _line(points: Sequence[Point], colour: str, *, dashed: bool = False) -> str:
    at = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(_at, points))
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>'


def _legend(label: str, colour: str, from_below: int) -> str:
    x, y = LEFT + 0.3 * SIDE, TOP + SIDE - 12 - 16 * from_below
    line = f'<line x1="{x:.0f}" y1="{y - 4}" x2="{x + 18:.0f}" y2="{y - 4}" stroke="{colour}" stroke-width="3"/>'
    return f'{line}<text x="{x + 24:.0f}" y="{y}" font-size="11">{escape(label)}</text>'


def _square(parts: Sequence[str], title: str, across: str, up: str) -> str:
    grid = []
    for tick in TICKS:
        (x, _), (_, y) = _at((tick, 0.0)), _at((0.0, tick))
        grid.append(f'<line x1="{x:.0f}" y1="{TOP}" x2="{x:.0f}" y2="{TOP + SIDE}" stroke="#eeeeee"/>')
        grid.append(f'<line x1="{LEFT}" y1="{y:.0f}" x2="{LEFT + SIDE}" y2="{y:.0f}" stroke="#eeeeee"/>')
        grid.append(f'<text x="{x:.0f}" y="{TOP + SIDE + 15}" font-size="11" text-anchor="middle">{tick:.1f}</text>')
        grid.append(f'<text x="{LEFT - 6}" y="{y + 4:.0f}" font-size="11" text-anchor="end">{tick:.1f}</text>')
    middle_x, middle_y = LEFT + SIDE / 2, TOP + SIDE / 2
    frame = f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#444444"/>'
    words = (
        f'<text x="{middle_x:.0f}" y="{TOP + SIDE + 34}" font-size="12" text-anchor="middle">{escape(across)}</text>'
        f'<text x="12" y="{middle_y:.0f}" font-size="12" text-anchor="middle" '
        f'transform="rotate(-90 12 {middle_y:.0f})">{escape(up)}</text>'
    )
    size = f'width="{LEFT + SIDE + RIGHT}" height="{TOP + SIDE + BELOW}"'
    box = f'viewBox="0 0 {LEFT + SIDE + RIGHT} {TOP + SIDE + BELOW}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} {box} font-family="sans-serif">'
    return f"{head}<title>{escape(title)}</title>{''.join(grid)}{frame}{''.join(parts)}{words}</svg>"
