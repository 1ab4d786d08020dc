"""What a network is given, and the specification that says how it was made. Pure data, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Kind(StrEnum):
    """What one sample is."""

    SLICES = "slices"  # axial slices, one by one
    VOLUME = "volume"  # the whole series


class MaskPolicy(StrEnum):
    """What the lung mask does to the picture."""

    NONE = "none"
    CROP = "crop"  # to the bounding box of the lungs, on all three axes (CT triage, section 2.1.2)
    ZERO = "zero"  # everything outside the lungs is 0 after the window (COVID-MTL, DeepSC-COVID)
    BODY = "body"  # none; the picture is that of the body's bounding box (R231)


class Aggregator(StrEnum):
    """How the scores of slices become the score of a study."""

    MEAN = "mean"
    MAXIMUM = "maximum"
    TOP_TENTH = "top-tenth"  # mean of the tenth of slices (at least one) that score highest


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How a volume becomes a network's input. Part of a bundle's card: training and serving share it."""

    kind: Kind
    pixel_mm: float | None  # in-plane spacing; None leaves the pixels as they are
    window_hu: tuple[float, float]  # clipped, then scaled to [0, 1]
    mask: MaskPolicy = MaskPolicy.NONE
    margin_mm: float = 0.0  # in-plane, around the box of a crop
    depth: int | None = None  # a head that reads the whole series is given at most so many of its slices
    slice_mm: float | None = None  # distance between slices; None leaves them as they are
    size: tuple[int, int, int] | None = None  # voxels (slice, row, column), cropped or zero-padded about the middle
    mean_sd: tuple[float, float] | None = None  # of the scaled picture: taken off, and divided by
    resized: tuple[int, int, int] | None = None  # voxels that the picture is stretched to, whatever it measures
    tile: tuple[int, int, int] | None = None  # voxels (slice, row, column) that a 3D network reads at a time
    overview: tuple[int, int, int] | None = None  # a second, coarse picture of the whole beside the tiles
    plane: tuple[int, int] | None = None  # pixels (row, column) that a slice, or what is cropped of it, is stretched to
    per_slice: bool = False  # after the window, the least value of each slice becomes 0 and the greatest 1
    aggregator: Aggregator | None = None  # of a network that scores slices
    features_mm: float | None = None  # grid of the radiomic features that a network is given beside the picture

    def __post_init__(self) -> None:
        if self.window_hu[0] >= self.window_hu[1]:
            raise ValueError(f"window_hu {self.window_hu} is empty")
        if self.pixel_mm is not None and self.pixel_mm <= 0:
            raise ValueError(f"pixel_mm is {self.pixel_mm}, must be positive")
        if self.margin_mm < 0 or (self.depth is not None and self.depth < 1):
            raise ValueError(f"margin_mm is {self.margin_mm}, depth is {self.depth}")
        for name in ("slice_mm", "features_mm"):
            mm = getattr(self, name)
            if mm is not None and mm <= 0:
                raise ValueError(f"{name} is {mm}, must be positive")
        for name in ("size", "resized", "tile", "overview", "plane"):
            voxels = getattr(self, name)
            if voxels is not None and min(voxels) < 1:
                raise ValueError(f"{name} is {voxels}")
        if self.plane is not None and (self.pixel_mm is not None or self.size is not None):
            raise ValueError("plane leaves nothing for pixel_mm and size to say")
        if self.mask is MaskPolicy.BODY and self.plane is None:
            raise ValueError("mask policy body needs a plane")
        if self.mean_sd is not None and self.mean_sd[1] <= 0:
            raise ValueError(f"mean_sd is {self.mean_sd}: a standard deviation is positive")


Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One prepared study: image in [0, 1], or standardised, as float32 (slice, row, column), and the way back to the
    volume's grid."""

    image: NDArray[np.float32]
    lungs: NDArray[np.bool_] | None
    box: Box  # of the image inside the resampled volume, half-open; it reaches beyond it where the image is padded
    grid_shape: tuple[int, int, int]  # of the resampled volume
    volume_shape: tuple[int, int, int]
