"""What makes one patient look like many: intensities before the window, geometry after it. Values: the ranges below."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

Image = NDArray[np.int16]

# Where tissues lie on the scale, to be redrawn: air, emphysema, lung, dense lung, fat, water, muscle, contrast, bone.
TISSUES_HU = (-1000.0, -920.0, -780.0, -400.0, -100.0, 0.0, 60.0, 200.0, 1000.0)
LUNG_HU, DENSE_LUNG_HU, WALL_HU = 2, 3, 4  # indices of TISSUES_HU
CONTRAST_HU = 200.0  # lung stays darker than the chest wall by at least so much
# Ends of the display windows with which CT is turned into pictures of 8 bits.
DISPLAY_LOW_HU, DISPLAY_HIGH_HU = (-1350.0, -950.0), (100.0, 400.0)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Ranges are drawn from evenly; shares are chances per sample."""

    shift_hu: float = 30.0
    scale: tuple[float, float] = (0.95, 1.05)
    rotation_deg: float = 15.0
    mirrored: float = 0.0  # share that is mirrored left to right
    redrawn: float = 0.0  # share in which every tissue's HU is drawn anew, in the order of TISSUES_HU
    eight_bit: float = 0.05  # share that has been a picture of 8 bits


def intensity(hu: Image, rng: np.random.Generator, how: Augmentation) -> Image:
    """HU as another scanner, or another kind of file, might have them."""
    result = hu.astype(np.float32) + np.float32(rng.uniform(-how.shift_hu, how.shift_hu))
    if rng.random() < how.redrawn:
        result = redrawn(result, rng)
    if rng.random() < how.eight_bit:
        low, high = rng.uniform(*DISPLAY_LOW_HU), rng.uniform(*DISPLAY_HIGH_HU)
        grey = np.rint(np.clip((result - low) / (high - low), 0.0, 1.0) * 255.0)
        result = grey * np.float32((high - low) / 255.0) + np.float32(low)
    whole: Image = np.rint(np.clip(result, -2000.0, 4000.0)).astype(np.int16)
    return whole


def redrawn(hu: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Every tissue's HU at random, in the old order: what is told by place and shape stays, what is told by value does
    not."""
    values = np.sort(rng.uniform(-1000.0, 300.0, len(TISSUES_HU)))
    lung, wall = values[LUNG_HU], values[WALL_HU]
    if wall - lung < CONTRAST_HU:
        values[WALL_HU:] += CONTRAST_HU - (wall - lung)
    return np.interp(hu, TISSUES_HU, values).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How a slice is laid on a plane: rotated and scaled about its centre, then moved, in pixels."""

    rotation_rad: float = 0.0
    scale: float = 1.0
    rows: float = 0.0
    columns: float = 0.0
    mirrored: bool = False

    @classmethod
    def drawn(cls, rng: np.random.Generator, how: Augmentation, shape: tuple[int, int], plane: tuple[int, int]) -> Pose:
        """A random crop where the plane is smaller than the slice; the slice within the plane where it is larger."""
        slack = [abs(n - m) / 2.0 for n, m in zip(shape, plane, strict=True)]
        return cls(
            rotation_rad=math.radians(rng.uniform(-how.rotation_deg, how.rotation_deg)),
            scale=rng.uniform(*how.scale),
            rows=rng.uniform(-slack[0], slack[0]),
            columns=rng.uniform(-slack[1], slack[1]),
            mirrored=how.mirrored > 0.0 and bool(rng.random() < how.mirrored),
        )


def laid(maps: Tensor, pose: Pose, plane: tuple[int, int]) -> Tensor:
    """Maps (N, C, H, W) on a plane (N, C, rows, columns), linearly; 0 where nothing lies."""
    height, width = maps.shape[-2:]
    v = torch.arange(plane[0]) - (plane[0] - 1) / 2.0
    u = torch.arange(plane[1]) - (plane[1] - 1) / 2.0
    u = -u if pose.mirrored else u
    cos, sin = math.cos(pose.rotation_rad) / pose.scale, math.sin(pose.rotation_rad) / pose.scale
    x = cos * u[None, :] - sin * v[:, None] + pose.columns + (width - 1) / 2.0
    y = sin * u[None, :] + cos * v[:, None] + pose.rows + (height - 1) / 2.0
    grid = torch.stack([(2.0 * x + 1.0) / width - 1.0, (2.0 * y + 1.0) / height - 1.0], dim=-1)
    return F.grid_sample(maps, grid[None].expand(maps.shape[0], -1, -1, -1), align_corners=False)
