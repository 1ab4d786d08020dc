"""A few chests with exact truth, held in memory."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.severity import LEFT, RIGHT
from tests.unit.models.chest import Chest, Ellipsoid, draw
from training.cases import HeldOut

GROUND_GLASS_HU = -450


def case(name: str, kind: str, radius_mm: float = 0.0, *, chest: Chest | None = None) -> HeldOut:
    """A chest with a ball of ground glass in the right lung, off its centre."""
    ball = Ellipsoid(centre=(-30, 20, -80), half=(radius_mm,) * 3)
    drawn = draw(
        chest or Chest(dense=((ball, GROUND_GLASS_HU),) if radius_mm else ()), slice_mm=20.0, pixel_mm=4.0, noise=5.0
    )
    labels = np.zeros(drawn.volume.shape, np.uint8)
    labels[drawn.right], labels[drawn.left] = RIGHT, LEFT
    z, y, x = drawn.grid
    distance = np.sqrt((z + 30) ** 2 + (y - 20) ** 2 + (x + 80) ** 2)
    lesions = drawn.right & (distance <= radius_mm) if radius_mm else np.zeros(drawn.volume.shape, np.bool_)
    return HeldOut(name=name, kind=kind, volume=drawn.volume, labels=labels, lesions=lesions)


@dataclass(frozen=True, kw_only=True)
class SomeCases:
    """Three COVID-like chests, one of either other disease, a healthy one and one with white lungs. `log`: a file that
    gets a line for each case that was asked for. `missing`: a case that cannot be had."""

    count: int = 7
    log: Path | None = None
    missing: int | None = None
    name: str = "some"
    description: str = "seven chests"
    synthetic: bool = True

    def __len__(self) -> int:
        return self.count

    def origin(self, number: int) -> str:
        return str(number)

    def __getitem__(self, number: int) -> HeldOut:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{number}\n")
        if number == self.missing:
            raise FileNotFoundError("the disk has gone")
        return _drawn(number)


@functools.cache
def _drawn(number: int) -> HeldOut:
    match number:
        case 0 | 1 | 2:
            return case(f"c{number}", "covid", (28.0, 34.0, 42.0)[number])
        case 3:
            return case("a", "atelectasis", 30.0)
        case 4:
            return case("p", "cap", 26.0)
        case 5:
            return case("n", "normal")
        case _:  # its lungs are there, and nothing can be seen of them
            opaque = case("white", "normal", chest=Chest(right=None, left=None))
            return replace(opaque, labels=_drawn(5).labels)


SOME = SomeCases()
