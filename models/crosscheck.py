"""Two lung methods on one study: the learned one answers, the classical one checks it.

The papers check nothing. Our choice rests on what each method is bad at: the classical lungs lose what holds no air and
hardly ever air itself, so aerated lung that the network leaves out is the network's fault. What the network takes in
beyond them is dense lung, which is what it is there for; a large part of it is worth a flag, never a replacement.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.classical import AIR_HU, SMALLEST_LUNG_ML
from models.severity import LEFT, RIGHT

# Chosen on 24 phantoms of the shifted generator. Of the air in one classical lung up to 6 % is none of the true lung
# (bronchi, bowel), so that is what the best network would seem to miss.
MISSED_USUAL = 0.10
# A third of one lung's air cannot be trachea or bowel: the network failed there, and the classical lungs stand in.
MISSED_FAILED = 0.30
# Of the network's lung on one side, what the classical method does not have. Of the true lungs: a pneumonia's
# consolidation, up to 17 %, a collapsed lobe 19 %; with nine tenths of the lung white 89 %, and all of it in two of the
# 24, where the classical method lost an aerated lung. A quarter deserves a look, whoever is right.
ADDED_USUAL = 0.25
# Lungs of which the classical method confirms so little are white on both sides, or no lungs. With nine tenths of both
# white it confirms 11 %.
CONFIRMED_LEAST = 0.05
_SIDES = {RIGHT: "right", LEFT: "left"}


class Verdict(StrEnum):
    """What the comparison comes to, best first."""

    AGREE = "agree"
    DISAGREE = "disagree"  # the learned lungs stand, with a flag
    UNCONFIRMED = "unconfirmed"  # no air where the learned lungs are: not to be believed
    FAILED = "failed"  # the classical lungs stand in


@dataclass(frozen=True, kw_only=True)
class Crosscheck:
    """`words` says what differs, empty where nothing does."""

    verdict: Verdict
    words: str = ""


def compare(
    hu: NDArray[np.int16], learned: NDArray[np.uint8], classical: NDArray[np.uint8], voxel_ml: float
) -> Crosscheck:
    """Labels RIGHT and LEFT of both methods on the grid of `hu`, (slice, row, column). A voxel that one method gives to
    the other side is no difference: both divide by the same rule, on masks that need not be alike."""
    count = _counted(hu, learned, classical)
    if not count[:, :, 1:].sum():
        is_alike = not count[:, 1:].sum()
        return Crosscheck(verdict=Verdict.AGREE if is_alike else Verdict.FAILED, words="" if is_alike else NOTHING)
    missed, added = {}, {}
    for side in _SIDES:
        air, own = int(count[1, side].sum()), int(count[:, :, side].sum())
        if air * voxel_ml >= SMALLEST_LUNG_ML:
            missed[side] = int(count[1, side, 0]) / air
        if own * voxel_ml >= SMALLEST_LUNG_ML:
            added[side] = int(count[:, 0, side].sum()) / own
    confirmed = int(count[:, 1:, 1:].sum()) / int(count[:, :, 1:].sum())
    words = "; ".join([*_said(missed, MISSED_USUAL, MISSED), *_said(added, ADDED_USUAL, ADDED)])
    if max(missed.values(), default=0.0) > MISSED_FAILED:
        return Crosscheck(verdict=Verdict.FAILED, words=words)
    if confirmed < CONFIRMED_LEAST:
        return Crosscheck(verdict=Verdict.UNCONFIRMED, words=words or UNCONFIRMED)
    return Crosscheck(verdict=Verdict.DISAGREE if words else Verdict.AGREE, words=words)


NOTHING = "the learned method found no lungs"
MISSED = "the learned lungs leave out {share:.0f} % of the aerated {side} lung that the classical method finds"
ADDED = "{share:.0f} % of the learned {side} lung is none by the classical method: dense lung, or no lung"
UNCONFIRMED = "the classical method finds no lungs where the learned one does"


def _counted(hu: NDArray[np.int16], learned: NDArray[np.uint8], classical: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Voxels by (holds air, classical label, learned label); slice by slice to keep memory small."""
    count = np.zeros(18, dtype=np.int64)
    for s in range(hu.shape[0]):
        code = learned[s] + np.uint8(3) * classical[s] + np.uint8(9) * (hu[s] < AIR_HU).astype(np.uint8)
        count += np.bincount(code.ravel(), minlength=18)
    return count.reshape(2, 3, 3)


def _said(shares: dict[int, float], usual: float, template: str) -> list[str]:
    return [template.format(share=100 * share, side=_SIDES[side]) for side, share in shares.items() if share > usual]
