"""What an evaluation found, written into the cards of the bundles that it was about."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from models import zoo
from models.bundle import CARD, read_card
from training.evaluate import METRICS, Evaluation, Row

LUNGS, TRIAGE = ("lung_dice",), ("lesion_dice", "severity_rho", "auc_others", "auc_normal", "normal_fraction")


def put(evaluation: Evaluation, described: str) -> list[Path]:
    """Write each contender's figures into its bundles' cards, `described` being the cases; the cards written. The
    baseline and methods without weights have no card to write to."""
    written = []
    for row in evaluation.rows[1:]:
        for named, metrics in ((row.lungs, LUNGS), (row.triage, TRIAGE)):
            folder = zoo.shipped().get(named, Path(named))
            if not (folder / CARD).is_file():
                continue
            card = replace(read_card(folder), held_out=_figures(row, metrics), held_out_data=described)
            (folder / CARD).write_text(card.to_json() + "\n", encoding="utf-8")
            written.append(folder / CARD)
    return written


def _figures(row: Row, metrics: tuple[str, ...]) -> dict[str, tuple[float, float, float]]:
    """What was computed, by the titles of the table. A number that is none has no place in JSON."""
    found = {METRICS[name].title: row.scores[name] for name in metrics}
    return {
        title: (round(s.value, 4), round(s.low, 4), round(s.high, 4))
        for title, s in found.items()
        if all(map(math.isfinite, (s.value, s.low, s.high)))
    }
