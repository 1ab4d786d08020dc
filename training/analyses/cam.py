"""Class activation maps of the volume networks 9 to 13 (COVID-MTL, Bao et al., section 6 and Fig. 7).

The paper names no formula. Ours is exact where every one of these networks allows it: the map of a class is what each
place of the last convolution's maps adds to that class's logit, so that its mean over space, with what does not depend
on the place (biases, radiomic features), is the logit. With weights W of the decision and maps A that are averaged over
space, that is sum_j W[class, j] A_j: A are the trunk's maps for a linear head, and the 32 maps of a task, after their
ReLU, for COVID-MTL. For display what speaks against the class is left out, and the rest is scaled to [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.bundle import Bundle, BundleError
from models.covid_mtl import TASK_CHANNELS, CovidMTL, CovidMTLTransfer, SqueezeNet3D
from models.maps import spec_of
from models.predict import LungMasks, TriagePredictor
from models.prepare import prepare
from models.resnet3d import ResNet3D
from models.volume import Volume
from training.analyses.attention import Attention, attention, caught, named, speaking_for

T = TypeVar("T")
ONLY = ""  # the task of a network that has one


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassMaps:
    """Of one task: maps (class, d, h, w) of what each place adds to the logits (class,), times the number of places."""

    maps: Tensor
    logits: Tensor

    @property
    def elsewhere(self) -> Tensor:
        """What of the logits comes from no place."""
        return self.logits - self.maps.mean(dim=(1, 2, 3))


@dataclass(frozen=True, kw_only=True, eq=False)
class Activation:
    """The map of one class of one task on a study."""

    task: str
    chosen: str  # the class
    classes: Mapping[str, float]  # probabilities of the task's classes
    logit: float
    from_places: float  # the part of the logit that the map accounts for
    attention: Attention


def class_maps(network: nn.Module, run: Callable[[], T]) -> tuple[T, dict[str, ClassMaps]]:
    """Maps by task from the one pass of the network that `run` makes. Raises BundleError for other networks."""
    with caught(_trunk(network)) as seen, caught(network) as said:
        result = run()
    if len(seen) != 1:
        raise BundleError(f"the network was run {len(seen)} times: a map is of one pass")
    maps, answers = seen[0][0], said[0]  # (C, d, h, w)
    by_task = answers if isinstance(answers, Mapping) else {ONLY: answers}
    found = {task: ClassMaps(maps=_added(network, task, maps), logits=out[0]) for task, out in by_task.items()}
    return result, found


def activation(
    bundle: Bundle,
    predictor: TriagePredictor,
    volume: Volume,
    lungs: LungMasks,
    *,
    task: str | None = None,
    chosen: str | None = None,
) -> Activation:
    """The map of a class on a study: of the card's first task and its likeliest class, where none is named. `predictor`
    serves the network of `bundle`. Raises BundleError, and ValueError on names that the card has not."""
    card = bundle.card
    task = named("task", task, list(card.classes))
    with torch.inference_mode():
        _, every = class_maps(bundle.network, lambda: predictor.triage(volume, lungs))
    found = every.get(task) or every[ONLY]
    likely = torch.softmax(found.logits, dim=0)
    classes = dict(zip(card.classes[task], likely.tolist(), strict=True))
    which = named("class", chosen, sorted(classes, key=lambda name: -classes[name]))
    number = list(classes).index(which)
    case = prepare(volume, spec_of(card), lungs.labels > 0)
    return Activation(
        task=task,
        chosen=which,
        classes=classes,
        logit=float(found.logits[number]),
        from_places=float(found.maps[number].mean()),
        attention=attention(f"{task}: {which}", speaking_for(found.maps[number]), case),
    )


def _trunk(network: nn.Module) -> nn.Module:
    """The part whose maps are the last that know a place."""
    if isinstance(network, ResNet3D):
        return network.stages
    if isinstance(network, CovidMTL | SqueezeNet3D):
        return network.trunk
    raise BundleError(f"{type(network).__name__} has no class activation map here: models 9 to 13 have")


def _added(network: nn.Module, task: str, maps: Tensor) -> Tensor:
    """(class, d, h, w) from the trunk's maps (C, d, h, w)."""
    if isinstance(network, ResNet3D):
        return _weighed(network.head[-1], maps)
    if isinstance(network, SqueezeNet3D):
        convolution = network.classifier[1]  # its maps, after the ReLU, are averaged to the logits
        return torch.relu(convolution(maps[None]))[0]
    if isinstance(network, CovidMTLTransfer) and task == "severity":
        return _weighed(network.severity, maps)
    assert isinstance(network, CovidMTL)  # `_trunk` let it pass
    specific, decision = network.specific[task], network.decision[task]
    assert isinstance(specific, nn.Sequential)
    assert isinstance(decision, nn.Sequential)
    # A mean of what a ReLU left is not below 0: the decision's own ReLU changes nothing.
    return _weighed(decision[-1], torch.relu(specific[1](maps[None]))[0], TASK_CHANNELS)


def _weighed(layer: nn.Module, maps: Tensor, channels: int | None = None) -> Tensor:
    """Maps by the weights of a linear layer, of which the first `channels` read them."""
    assert isinstance(layer, nn.Linear)
    return torch.einsum("kc,cdhw->kdhw", layer.weight[:, :channels], maps)
