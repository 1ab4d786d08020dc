"""How a scanner sees a patient: grid, slice thickness, kernel, noise, circle of measurement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import PADDING_HU
from training.phantom.geometry import Field, Grid


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A reconstruction kernel: how it blurs and sharpens, and what its noise looks like at native pixels.

    `overshoot` is the weight of the mask that a sharp kernel subtracts; `band_px` are the sigmas between which its
    noise lives: the difference of two Gaussians, as the ramp filter leaves little noise at low frequencies.
    """

    name: str
    psf_mm: float  # sigma
    noise_hu: float
    overshoot: float = 0.0
    band_px: tuple[float, float] = (0.8, 2.5)

    @property
    def is_sharp(self) -> bool:
        return self.overshoot > 0.3


SOFT = Kernel(name="B31f", psf_mm=0.75, noise_hu=13.0, band_px=(0.9, 3.0))
SHARP = Kernel(name="B70f", psf_mm=0.45, noise_hu=38.0, overshoot=0.6, band_px=(0.45, 1.2))
OVERSHOOT_MM = 1.6  # how far an edge rings
STREAK_FROM_MM, STREAK_OVER_MM = 330.0, 110.0  # of tissue along a row before its rays starve
STREAK_PX = 22.0  # length of a streak, one sigma


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One axial reconstruction. `tilt_deg` turns the whole stack about x and y, so that no axis is the patient's."""

    slices: int = 48
    rows: int = 256
    columns: int = 256
    slice_mm: float = 5.0
    thickness_mm: float = 5.0
    pixel_mm: tuple[float, float] = (1.45, 1.45)  # between rows, between columns
    centre_lps_mm: tuple[float, float, float] = (0.0, 10.0, 0.0)
    tilt_deg: tuple[float, float] = (0.0, 0.0)
    kernel: Kernel = SOFT
    circle: bool = False  # nothing is measured outside the scan circle
    padding_declared: bool = True  # outside it -2000 with PixelPaddingValue, or plainly -1024
    motion_mm: float = 0.0  # of heart and diaphragm while a slice is taken
    breath_mm: float = 0.0  # of the diaphragm meanwhile, as far up as down: its middle is what the truth says
    streaks_hu: float = 0.0  # along rows that cross both shoulders

    def grid(self) -> Grid:
        """Slices from foot to head, rows to the back, columns to the left, before any tilt."""
        a, b = np.deg2rad(self.tilt_deg)
        about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        axes = about_x @ about_y @ np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
        affine = np.eye(4)
        affine[:3, :3] = axes * (self.slice_mm, *self.pixel_mm)
        half = (np.array([self.slices, self.rows, self.columns]) - 1) / 2
        affine[:3, 3] = np.asarray(self.centre_lps_mm) - affine[:3, :3] @ half
        return Grid(shape=(self.slices, self.rows, self.columns), affine_lps=affine)


def imaged(hu: Field, scan: Scan, rng: np.random.Generator) -> Field:
    """One slice (row, column) as the scanner shows it: blurred or sharpened by the kernel, with its noise."""
    kernel = scan.kernel
    path_mm = (hu > -300).sum(1) * scan.pixel_mm[1]  # of tissue along each row
    sigma = [kernel.psf_mm / mm for mm in scan.pixel_mm]
    seen = ndimage.gaussian_filter(hu, sigma, truncate=3.0)
    if kernel.overshoot > 0:
        wide = ndimage.gaussian_filter(seen, [OVERSHOOT_MM / mm for mm in scan.pixel_mm], truncate=2.5)
        seen += kernel.overshoot * (seen - wide)
    seen += _noise(scan, rng)
    if scan.streaks_hu > 0:
        starved = np.clip((path_mm - STREAK_FROM_MM) / STREAK_OVER_MM, 0.0, 1.5).astype(np.float32)
        if starved.any():
            streaks = ndimage.gaussian_filter(_white(rng, seen.shape), (0.6, STREAK_PX), truncate=2.5)
            seen += (scan.streaks_hu / max(float(streaks.std()), 1e-6)) * starved[:, None] * streaks
    return np.asarray(seen, np.float32)


def _noise(scan: Scan, rng: np.random.Generator) -> Field:
    """Quantum noise with the kernel's grain; thin slices are noisier, the middle of the patient more than his rim."""
    kernel = scan.kernel
    fine, broad = kernel.band_px
    white = _white(rng, (scan.rows, scan.columns))
    noise = ndimage.gaussian_filter(white, fine, truncate=3.0)
    noise -= 0.85 * ndimage.gaussian_filter(noise, broad, truncate=2.5)
    # Photons go with thickness, but protocols and kernels make up for part of it: the fourth root, not the square root.
    sigma = kernel.noise_hu * (5.0 / max(scan.thickness_mm, 0.5)) ** 0.25
    u = (np.arange(scan.rows, dtype=np.float32) / scan.rows - 0.5)[:, None]
    v = np.arange(scan.columns, dtype=np.float32) / scan.columns - 0.5
    middle = 0.8 + 0.4 * np.exp(-(u * u + v * v) / 0.08)
    return np.asarray(noise * middle * np.float32(sigma / max(float(noise.std()), 1e-6)), np.float32)


def _white(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    return rng.standard_normal(shape, dtype=np.float32)


def blank_outside_circle(hu: NDArray[np.int16]) -> None:
    """Set what lies outside the inscribed circle to padding, in place."""
    rows, columns = hu.shape[1:]
    r = np.hypot((np.arange(rows) - (rows - 1) / 2)[:, None] / rows, (np.arange(columns) - (columns - 1) / 2) / columns)
    hu[:, r > 0.5] = PADDING_HU
