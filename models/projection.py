"""The X-ray-like view of model 36: a coronal projection with the local severity from green to red.

CT triage (Goncharov et al.), figure 1, shows it and does not describe it. Our choice: grey is the mean over the
antero-posterior axis of the windowed CT inside the body; the overlay is, ray by ray, the share of lung that is lesion;
aspect in mm; head up, the patient's right on the left of the picture, as radiographs are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.classical import body_mask
from models.grid import in_plane_shape, regrid_affine, resample_hu, resample_mask
from models.volume import Volume

WINDOW_HU = (-1000.0, 400.0)
CONTRAST = (2.0, 99.0)  # percentiles of the grey inside the body that become black and white
PIXEL_MM = 1.0
GRID_MM = 1.5  # of the grey rays; a mean over 300 mm shows nothing finer
BACKGROUND, INK = (0, 0, 0), (235, 235, 235)
MARGIN, BAR, LABELS = 12, 14, 52  # pixels
FONT_SIZE = 14
NEEDS_ROWS = 160  # the bar and its labels need so many


def colours(ratio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Green at 0 over yellow to red at 1, as RGB in 0..255 on a last axis."""
    r = np.clip(ratio, 0.0, 1.0)
    red, green = np.minimum(1.0, 2.0 * r), np.minimum(1.0, 2.0 - 2.0 * r)
    return np.stack([red * 255.0, green * 200.0, np.zeros_like(r)], axis=-1).astype(np.float32)


def embers(ratio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Orange for whatever is affected, as RGB in 0..255 on a last axis: it says how much by its alpha alone."""
    return np.broadcast_to(np.array([255.0, 140.0, 40.0], np.float32), (*ratio.shape, 3))


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """How the local severity is laid over the grey picture. `alpha`: at 0 % and at 100 %."""

    colours: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    alpha: tuple[float, float]


LABELLED = Overlay(colours=colours, alpha=(0.25, 0.65))  # healthy lung stays readable under its green
# For a small picture without a bar: nothing is laid over lung that shows nothing, since green would read as "healthy".
UNLABELLED = Overlay(colours=embers, alpha=(0.0, 0.9))


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """RGB uint8 (row, column, 3), and where the projection lies in it: pixel rows and columns, half-open."""

    rgb: NDArray[np.uint8]
    rows: tuple[int, int]
    columns: tuple[int, int]
    pixel_mm: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """What lies along each ray from front to back; drawn by `view`, as often and in whatever size it is wanted.

    Both planes are (slice, left-right): `grey` in [0, 1] on a grid of GRID_MM, `share` (of lung that is lesion; NaN
    where there is no lung) on the volume's; `share` is None without a lesion mask.
    """

    volume: Volume
    grey: NDArray[np.float32]
    share: NDArray[np.float32] | None

    def view(self, pixel_mm: float = PIXEL_MM, overlay: Overlay = LABELLED) -> View:
        """The picture with R mark and, where there is something to label, its colour bar."""
        wide, high = (
            max(1, round(self.volume.shape[axis] * self.volume.spacing_mm[axis] / pixel_mm))
            for axis in (side_axis(self.volume), 0)
        )
        size = wide, high
        picture = _resized(_as_seen(self.volume, self.grey), size)[..., None].repeat(3, axis=2) * 255.0
        if self.share is not None:
            picture = _overlaid(picture, _as_seen(self.volume, self.share), size, overlay)
        height = max(size[1], NEEDS_ROWS)
        canvas = Image.new("RGB", (MARGIN + size[0] + MARGIN + BAR + LABELS, MARGIN + height + MARGIN), BACKGROUND)
        canvas.paste(Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)), (MARGIN, MARGIN))
        _mark(canvas, (MARGIN + 6, MARGIN + 4), self.volume)
        if self.share is not None:
            _colour_bar(canvas, MARGIN + size[0] + MARGIN, MARGIN, height)
        return View(
            rgb=np.asarray(canvas),
            rows=(MARGIN, MARGIN + size[1]),
            columns=(MARGIN, MARGIN + size[0]),
            pixel_mm=pixel_mm,
        )


def project(volume: Volume, labels: NDArray[np.uint8], lesions: NDArray[np.bool_] | None) -> Projection:
    """Project a volume from front to back. `labels` and `lesions` are (slice, row, column)."""
    share = None if lesions is None else _share(volume, labels, lesions)
    return Projection(volume=volume, grey=_grey(volume, labels), share=share)


def side_axis(volume: Volume) -> int:
    """1 or 2: which axis of an axial volume runs from side to side."""
    return 1 + int(np.argmax(np.abs(volume.affine_lps[0, 1:3])))


def front_back_axis(volume: Volume) -> int:
    return 3 - side_axis(volume)


def _as_seen(volume: Volume, plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """(slice, left-right) turned so that the head is up and the patient's right on the left."""
    if volume.affine_lps[2, 0] > 0:
        plane = plane[::-1]
    return plane[:, ::-1] if volume.affine_lps[0, side_axis(volume)] < 0 else plane


def _grey(volume: Volume, labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean windowed CT inside the body along the antero-posterior axis, stretched to [0, 1]; 0 outside."""
    shape = in_plane_shape(volume.shape, volume.spacing_mm[1:], GRID_MM)
    hu = resample_hu(volume.hu, shape)
    s = np.linalg.norm(regrid_affine(volume.affine_lps, volume.shape, shape)[:3, :3], axis=0)
    body = body_mask(hu, (float(s[0]), float(s[1]), float(s[2]))) | resample_mask(labels > 0, shape)
    windowed = np.clip(hu, *WINDOW_HU).astype(np.float32) - np.float32(WINDOW_HU[0])
    axis = front_back_axis(volume)
    depth = body.sum(axis=axis)
    mean = np.where(depth > 0, (windowed * body).sum(axis=axis) / np.maximum(1, depth), 0.0)
    if not (depth > 0).any():
        return mean.astype(np.float32)
    black, white = np.percentile(mean[depth > 0], CONTRAST)
    return np.asarray(np.clip((mean - black) / max(1.0, white - black), 0.0, 1.0), dtype=np.float32)


def _share(volume: Volume, labels: NDArray[np.uint8], lesions: NDArray[np.bool_]) -> NDArray[np.float32]:
    """r(z, x): lesion over lung along each ray; NaN where there is no lung."""
    lung = (labels > 0).sum(axis=front_back_axis(volume)).astype(np.float32)
    found = (lesions & (labels > 0)).sum(axis=front_back_axis(volume)).astype(np.float32)
    return np.where(lung > 0, found / np.maximum(1.0, lung), np.nan).astype(np.float32)


def _resized(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)


def _overlaid(
    picture: NDArray[np.float32], share: NDArray[np.float32], size: tuple[int, int], overlay: Overlay
) -> NDArray[np.float32]:
    lung = _resized(np.isfinite(share).astype(np.float32), size)
    ratio = np.asarray(_resized(np.nan_to_num(share), size) / np.maximum(lung, 1e-3), dtype=np.float32)
    none, full = overlay.alpha
    alpha = (none + (full - none) * np.clip(ratio, 0.0, 1.0)) * (lung > 0.5)
    blend = alpha[..., None].astype(np.float32)
    return np.asarray(picture * (1.0 - blend) + overlay.colours(ratio) * blend, dtype=np.float32)


def _mark(canvas: Image.Image, at: tuple[int, int], volume: Volume) -> None:
    if volume.oriented:
        font = ImageFont.load_default(2 * FONT_SIZE)
        ImageDraw.Draw(canvas).text(at, "R", fill=INK, font=font, stroke_width=2, stroke_fill=BACKGROUND)


def _colour_bar(canvas: Image.Image, x: int, y: int, height: int) -> None:
    ramp = colours(np.linspace(1.0, 0.0, height, dtype=np.float32))[:, None, :].repeat(BAR, axis=1)
    canvas.paste(Image.fromarray(ramp.astype(np.uint8)), (x, y))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(FONT_SIZE)
    for percent in (0, 25, 50, 75, 100):
        at = y + round((height - 1) * (1.0 - percent / 100.0))
        draw.text((x + BAR + 5, at), f"{percent} %", fill=INK, font=font, anchor="lm")
