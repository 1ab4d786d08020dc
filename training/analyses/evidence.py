"""Evidence masks of DeepSC-COVID (Wang et al., section IV-D, eq. 5) on a study: where its diagnosis comes from.

Each of three encoders has a mask: its feature maps, weighted by the class they speak for. The masks' means over space
and a bias are the logit of that class, so that their sum, each enlarged to the grid of the finest, is all that the
places say. Shown is the predicted class unless another is named (the paper's reading; its code takes the mean of
COVID-19 and CAP). What speaks against the class is left out, and every mask scaled to [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from models.bundle import Bundle, BundleError
from models.deepsc import DeepSC
from models.deepsc_triage import TASK
from models.maps import spec_of
from models.predict import LungMasks, TriagePredictor
from models.prepare import prepare
from models.volume import Volume
from training.analyses.attention import Attention, attention, caught, named, speaking_for

WHOLE = "all three"


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The masks of one class on a study: finest to coarsest, then their sum."""

    chosen: str
    classes: Mapping[str, float]  # probabilities
    logit: float
    from_places: tuple[float, ...]  # what each encoder's mask adds to the logit
    masks: tuple[Attention, ...]
    lesions: NDArray[np.bool_] | None  # as the network found them, on the volume


def evidence(
    bundle: Bundle, predictor: TriagePredictor, volume: Volume, lungs: LungMasks, *, chosen: str | None = None
) -> Evidence:
    """`predictor` serves the network of `bundle`. Raises BundleError where that has no diagnosis, and ValueError on a
    class that the card has not."""
    network = bundle.network
    if not isinstance(network, DeepSC) or network.tasks == "lesions":
        raise BundleError(f"{bundle.card.name} has no evidence masks: models 18 and 20 have")
    with torch.inference_mode():
        with caught(network.class_net) as said:
            result = predictor.triage(volume, lungs)
        logits, encoded = said[0]
        likely = torch.softmax(logits[0], dim=0).tolist()
        classes = dict(zip(bundle.card.classes[TASK], likely, strict=True))
        which = named("class", chosen, sorted(classes, key=lambda name: -classes[name]))
        number = list(classes).index(which)
        found = network.evidence(encoded, torch.tensor([number], device=logits.device))
        maps = [m[0, 0].cpu() for m in found]
    spec = spec_of(bundle.card)
    assert spec.overview is not None  # the predictor would have refused
    case = prepare(volume, spec, lungs.labels > 0)
    every = {f"encoder {n}": m for n, m in enumerate(maps, start=1)} | {WHOLE: together(maps)}
    on_scan = {n: on_slices(speaking_for(m), spec.overview[0], case.image.shape[0]) for n, m in every.items()}
    return Evidence(
        chosen=which,
        classes=classes,
        logit=float(logits[0, number]),
        from_places=tuple(float(m.mean()) for m in maps),
        masks=tuple(attention(f"{which}, {name}", m, case) for name, m in on_scan.items()),
        lesions=result.lesions,
    )


def together(maps: Sequence[Tensor]) -> Tensor:
    """The sum of masks (d, h, w) on the grid of the first, each cell of a coarser one spread over its part of that."""
    size = maps[0].shape
    return torch.stack([F.interpolate(m[None, None], size=size, mode="nearest")[0, 0] for m in maps]).sum(0)


def on_slices(mask: Tensor, picked: int, slices: int) -> Tensor:
    """A mask (d, h, w) over the overview of a scan, which holds `picked` of its slices, on all of them: linear between.

    The overview's i-th slice is number floor((S - 1) / D i) of the scan's S; a cell of the mask stands for D / d of
    them and lies in their middle.
    """
    depth = mask.shape[0]
    at = torch.arange(slices) * depth / max(1, slices - 1) - 0.5 * (1 - depth / picked)
    at = at.clamp(0.0, depth - 1.0)
    low = at.floor().long()
    high = (low + 1).clamp(max=depth - 1)
    weight = (at - low)[:, None, None]
    return mask[low] * (1.0 - weight) + mask[high] * weight
