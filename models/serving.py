"""Networks with one task in the role triage: lesions slice by slice or volume by volume, or one score per series.

What these networks do not say stays unsaid: a segmenter gives a severity and no probability, a classifier of series a
probability and no lesions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle import Bundle, BundleError
from models.case import Kind
from models.fss import FewShotNet
from models.maps import BATCH_PIXELS, WithNetwork, lesions_of, slices_of, stretched
from models.network import LESION_LEVEL
from models.predict import LungMasks, TriageResult
from models.prepare import prepare, thinned
from models.slice_pool import SlicePoolNet
from models.tiles import tiles
from models.volume import Volume

# What a network gives for its input (N, 1, ...), as probabilities of "lesion" (N, ...).
Likely = Callable[[nn.Module, Tensor], Tensor]


def from_logits(network: nn.Module, x: Tensor) -> Tensor:
    """Of a network with one logit per pixel, (N, 1, ...) to (N, 1, ...)."""
    return torch.sigmoid(network(x))[:, 0]


def from_pairs(network: nn.Module, x: Tensor) -> Tensor:
    """Of a network with logits of background and lesion, (N, 1, ...) to (N, 2, ...)."""
    return torch.softmax(network(x), dim=1)[:, 1]


def from_supports(network: nn.Module, x: Tensor) -> Tensor:
    """Of a few-shot network, which answers from the supports it carries."""
    if not isinstance(network, FewShotNet):
        raise BundleError(f"{type(network).__name__} is no FewShotNet")
    return network.answer(x)[:, 0]


class LesionTriage(WithNetwork[nn.Module]):
    """Role triage: a lesion mask, and no probability. The card's `InputSpec` says whether the network sees slices or
    volumes; where it sees volumes and `tile` is set, a larger one is read in overlapping tiles, which are averaged;
    where `resized` is set, it sees every volume stretched to that."""

    def __init__(self, bundle: Bundle, device: str, likely: Likely = from_logits) -> None:
        super().__init__(bundle, device, nn.Module)
        self._likely = likely
        self._level = self.card.thresholds.get("lesion", LESION_LEVEL)

    @torch.inference_mode()
    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        """Raises ValueError where there are no lungs."""
        inside = lungs.labels > 0
        case = prepare(volume, self._spec, inside)
        likely = self._slices(case.image) if self._spec.kind is Kind.SLICES else self._volume(case.image)
        return lesions_of(likely, case, self._level, inside)

    def _slices(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        likely = np.empty(image.shape, dtype=np.float32)
        for part, x in slices_of(image, self._device, BATCH_PIXELS):
            likely[part] = self._likely(self._network, x).cpu().numpy()
        return likely

    def _volume(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        total, times = np.zeros(image.shape, dtype=np.float32), np.zeros(image.shape, dtype=np.uint8)
        for part in tiles(image.shape, self._spec.tile):
            x = torch.from_numpy(np.ascontiguousarray(image[part]))[None, None].to(self._device)
            total[part] += self._whole(x)[0].cpu().numpy()
            times[part] += 1
        total /= times
        return total

    def _whole(self, x: Tensor) -> Tensor:
        if self._spec.resized is None:
            return self._likely(self._network, x)
        found = self._likely(self._network, stretched(x, self._spec.resized))
        return stretched(found[:, None], x.shape[2:])[:, 0]


class SeriesTriage(WithNetwork[SlicePoolNet]):
    """Role triage: the score of a whole series from at most `depth` of its slices, and no lesions."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        super().__init__(bundle, device, SlicePoolNet)

    @torch.inference_mode()
    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        """Raises ValueError where there are no lungs."""
        image = prepare(volume, self._spec, lungs.labels > 0).image
        image = image[thinned(image.shape[0], self._spec.depth)]
        features = torch.cat([self._network.slices(x) for _, x in slices_of(image, self._device, BATCH_PIXELS)])
        return TriageResult(probability=float(torch.sigmoid(self._network.identify(features))))
