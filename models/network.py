"""Networks in the two roles: prepared by the card's `InputSpec`, read slice by slice, brought back to the volume.

Memory is bounded: a few slices pass the network at a time, and only maps on the network's own grid live as long as the
study. Training prepares its samples with the same `prepare`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from models import classical
from models.bundle import Bundle
from models.case import Case, InputSpec
from models.ct_triage import LungsUNet, MultitaskNet
from models.familiar import undecided
from models.grid import regrid_affine
from models.maps import BATCH_PIXELS, WithNetwork, enlarged, lesions_of, slices_of
from models.morphology import components
from models.predict import LungMasks, TriageResult
from models.prepare import prepare, thinned
from models.severity import LEFT, RIGHT
from models.sides import middle_of, split
from models.volume import Volume

LUNG_LEVEL, LESION_LEVEL = 0.5, 0.2  # CT triage: its predictor.py and const.py
# What both networks of CT triage see (section 2.1; the window is that of its const.py).
PIXEL_MM, WINDOW_HU = 2.0, (-1000.0, 300.0)


class NetworkLungs(WithNetwork[LungsUNet]):
    """Role lungs: a network that gives one logit per pixel of a slice, thresholded and cleaned, then the sides.

    The paper keeps every component; here a fragment below the size that the classical lungs accept is left out.
    """

    def __init__(self, bundle: Bundle, device: str) -> None:
        super().__init__(bundle, device, LungsUNet)
        self._level = self.card.thresholds.get("lung", LUNG_LEVEL)

    @torch.inference_mode()
    def lungs(self, volume: Volume) -> LungMasks:
        case = prepare(volume, self._spec)
        likely = np.empty(case.image.shape, dtype=np.float32)
        for part, x in slices_of(case.image, self._device, BATCH_PIXELS):
            likely[part] = torch.sigmoid(self._network(x))[:, 0].cpu().numpy()
        affine = regrid_affine(volume.affine_lps, volume.shape, case.grid_shape)
        found = likely > self._level
        doubt = undecided(likely) / int(found.sum()) if found.any() else None
        voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0
        found = components(found, round(classical.SMALLEST_FRAGMENT_ML / voxel_ml)) > 0
        labels = np.zeros(volume.shape, dtype=np.uint8)
        if found.any():
            sides = _sides(found, case, affine, self._spec, oriented=volume.oriented)
            self._label(labels, likely, sides)
        return LungMasks(labels=labels, sides_by_size=not volume.oriented, doubt=doubt)

    def _label(self, labels: NDArray[np.uint8], likely: NDArray[np.float32], sides: NDArray[np.uint8]) -> None:
        """Probabilities brought to the volume's pixels, then cut: smoother than a mask that is enlarged. A pixel around
        a lung counts towards that lung, so that the cut falls between pixels."""
        right = ndimage.maximum_filter(sides == RIGHT, (1, 3, 3)) & (sides != LEFT)
        left = ndimage.maximum_filter(sides == LEFT, (1, 3, 3)) & ~right
        for s in np.flatnonzero(sides.any(axis=(1, 2))):
            maps = torch.from_numpy(likely[s] * np.stack([right[s], left[s]]))
            r, l = enlarged(maps, labels.shape[1:]).numpy()  # noqa: E741 - right and left
            labels[s] = np.where(r + l > self._level, np.where(r >= l, np.uint8(RIGHT), np.uint8(LEFT)), np.uint8(0))


class NetworkTriage(WithNetwork[MultitaskNet]):
    """Role triage: lesions slice by slice inside the box of the lungs, and one score from at most `depth` slices."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        super().__init__(bundle, device, MultitaskNet)
        self._level = self.card.thresholds.get("lesion", LESION_LEVEL)

    @torch.inference_mode()
    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        """Raises ValueError where there are no lungs."""
        inside = lungs.labels > 0
        case = prepare(volume, self._spec, inside)
        read = thinned(case.image.shape[0], self._spec.depth)
        likely = np.empty(case.image.shape, dtype=np.float32)
        kept = []
        for part, x in slices_of(case.image, self._device, BATCH_PIXELS):
            features = self._network.backbone(x)
            likely[part] = torch.sigmoid(self._network.segmentation(features))[:, 0].cpu().numpy()
            kept.append(features[[int(i) - part.start for i in read if part.start <= i < part.stop]])
        score = float(torch.sigmoid(self._network.identify(torch.cat(kept))))
        return replace(lesions_of(likely, case, self._level, inside), probability=score)


def _sides(
    lungs: NDArray[np.bool_], case: Case, affine: NDArray[np.float64], spec: InputSpec, *, oriented: bool
) -> NDArray[np.uint8]:
    low, high = spec.window_hu
    used = lungs.any(axis=(1, 2))
    hu = np.rint(case.image[used] * (high - low) + low).astype(np.int16)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    body = classical.body_mask(hu, (float(lengths[0]), float(lengths[1]), float(lengths[2])))
    return split(lungs, affine, oriented=oriented, middle_mm=middle_of(body, affine))
