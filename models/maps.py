"""What a network is shown and what comes back: slices in, maps on its own grid out, masks on the volume.

Every predictor that holds a network builds on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle import Bundle, BundleError
from models.cards import Card
from models.case import Case, InputSpec
from models.familiar import undecided
from models.grid import restack_mask
from models.predict import TriageResult
from models.prepare import pasted

T = TypeVar("T", bound=nn.Module)

# Pixels that pass a network at a time: a dozen slices of a chest at 2 mm. More costs memory and gains no time.
BATCH_PIXELS = 400_000


def spec_of(card: Card) -> InputSpec:
    """Raises BundleError where the card has none."""
    if card.input is None:
        raise BundleError(f"{card.name}: the card does not say what the network is given")
    return card.input


def network_of(bundle: Bundle, kind: type[T]) -> T:
    """The network, laid out for speed where it is 2D. Raises BundleError where it is of another kind."""
    if not isinstance(bundle.network, kind):
        raise BundleError(f"{bundle.card.name}: {type(bundle.network).__name__} is no {kind.__name__}")
    if not any(p.dim() == 5 for p in bundle.network.parameters()):  # torch has the format for 2D convolutions only
        bundle.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub
    return bundle.network


class WithNetwork(Generic[T]):
    """A predictor by a network of some kind: its card, what the network is given, where it computes."""

    def __init__(self, bundle: Bundle, device: str, kind: type[T]) -> None:
        """Raises BundleError where the card does not say what is given, or the network is of another kind."""
        self.card: Card = bundle.card
        self._spec = spec_of(self.card)
        self._network = network_of(bundle, kind)
        self._device = torch.device(device)


def slices_of(image: NDArray[np.float32], device: torch.device, pixels: int) -> Iterator[tuple[slice, Tensor]]:
    """Runs of slices of at most so many pixels together, (n, 1, H, W) on the device."""
    slices, rows, columns = image.shape
    size = max(1, pixels // (rows * columns))
    for first in range(0, slices, size):
        part = slice(first, min(first + size, slices))
        x = torch.from_numpy(np.ascontiguousarray(image[part]))[:, None].to(device)
        yield part, x.contiguous(memory_format=torch.channels_last)


def enlarged(maps: Tensor, plane: Sequence[int]) -> Tensor:
    """Maps (C, H, W) on another plane over the same extent, linearly: the way of `models.grid`, undone."""
    return F.interpolate(maps[None], size=tuple(plane), mode="bilinear", align_corners=False)[0]


def stretched(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Volumes (N, C, D, H, W) on another grid over the same extent, linearly."""
    return F.interpolate(x, size=tuple(shape), mode="trilinear", align_corners=False)


def on_volume(likely: NDArray[np.float32], case: Case, level: float) -> NDArray[np.bool_]:
    """Probabilities (slice, row, column) on `case.image` as a mask on the volume: enlarged in-plane, then cut, which
    is smoother than a mask that is enlarged; the nearer slice where the network had slices of its own."""
    slices, rows, columns = case.volume_shape
    result = np.empty((case.grid_shape[0], rows, columns), dtype=np.bool_)
    for s, plane in enumerate(pasted(likely, case)):
        result[s] = (enlarged(torch.from_numpy(plane)[None], (rows, columns))[0] > level).numpy()
    return restack_mask(result, slices)


def lesions_of(likely: NDArray[np.float32] | None, case: Case, level: float, inside: NDArray[np.bool_]) -> TriageResult:
    """What probabilities on `case.image` say of lesions in the lungs of the volume; nothing where there are none."""
    if likely is None:
        return TriageResult()
    return TriageResult(lesions=on_volume(likely, case, level) & inside, doubt=doubt_of(likely, case))


def doubt_of(likely: NDArray[np.float32], case: Case) -> float:
    """The share of lung where probabilities on `case.image` give no answer."""
    inside = np.ones(case.image.shape, dtype=np.bool_) if case.lungs is None else case.lungs
    return undecided(likely, inside) / max(1, int(inside.sum()))
