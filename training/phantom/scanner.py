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
    """A reconstruction kernel: how wide an edge is, and what its noise looks like at native pixels."""

    name: str
    edge_mm: float
    noise_hu: float
    grain_px: float  # sigma of the noise's texture


SOFT = Kernel(name="B31f", edge_mm=2.4, noise_hu=13.0, grain_px=1.0)
SHARP = Kernel(name="B70f", edge_mm=1.4, noise_hu=38.0, grain_px=0.55)


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


def add_noise(hu: Field, scan: Scan, rng: np.random.Generator) -> None:
    """Quantum noise with the kernel's grain, in place; thin slices are noisier (variance goes with 1/thickness)."""
    kernel = scan.kernel
    sigma = kernel.noise_hu * float(np.sqrt(5.0 / max(scan.thickness_mm, 0.5))) ** 0.5
    for image in hu:
        noise = ndimage.gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), kernel.grain_px)
        image += noise * np.float32(sigma / noise.std())


def blank_outside_circle(hu: NDArray[np.int16]) -> None:
    """Set what lies outside the inscribed circle to padding, in place."""
    rows, columns = hu.shape[1:]
    r = np.hypot((np.arange(rows) - (rows - 1) / 2)[:, None] / rows, (np.arange(columns) - (columns - 1) / 2) / columns)
    hu[:, r > 0.5] = PADDING_HU
