"""Every model by name: the methods that need no weights, and the architectures a bundle may name.

Importing this module imports no torch; `architectures()` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from models import classical, contour, thresholding
from models.cards import Card
from models.catalogue import COVID_MTL as COVID_MTL
from models.catalogue import CT_TRIAGE as CT_TRIAGE

if TYPE_CHECKING:
    import torch

    from models.bundle import Bundle
    from models.predict import LungsPredictor, TriagePredictor

NOT_TRAINED = "none: nothing here is learned"

METHODS: dict[str, Card] = {
    card.name: card
    for card in (
        Card(
            name="classical-lungs",
            version="1",
            number=33,
            paper=COVID_MTL,
            roles=("lungs",),
            outputs=("lungs",),
            thresholds={"air below HU": classical.AIR_HU, "closing mm": contour.INFLATION_MM},
            training_data=NOT_TRAINED,
            limits="takes in consolidation at the pleura up to about 20 mm across; a white lung is missed: gate it",
        ),
        Card(
            name="classical-lungs-refined",
            version="1",
            number=34,
            paper=COVID_MTL,
            roles=("lungs",),
            outputs=("lungs",),
            thresholds={"air below HU": classical.AIR_HU, "inflation mm": contour.INFLATION_MM},
            training_data=NOT_TRAINED,
            limits="no closer to manual masks than classical-lungs, and slower; a white lung is missed: gate it",
        ),
        Card(
            name="generic-lungs",
            version="1",
            number=33,
            paper="Data Science Bowl 2017 kernels, as cited by " + COVID_MTL,
            roles=("lungs",),
            outputs=("lungs",),
            thresholds={"air below HU": classical.AIR_HU},
            training_data=NOT_TRAINED,
            limits="slice by slice: takes the trachea and bowel gas for lung; for comparison only",
        ),
        Card(
            name="thresholding",
            version="1",
            number=32,
            paper=CT_TRIAGE,
            roles=("triage",),
            outputs=("lesions",),
            thresholds=thresholding.Thresholding().thresholds,
            training_data=NOT_TRAINED,
            limits="severity only, no probability; every dense region counts, whatever its cause",
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network by name, and how a bundle of it fills a role (None: it cannot)."""

    network: Callable[..., torch.nn.Module]
    lungs: Callable[[Bundle, str], LungsPredictor] | None = None
    triage: Callable[[Bundle, str], TriagePredictor] | None = None


def architectures() -> Mapping[str, Architecture]:
    """Name to network, one line per architecture."""
    from models.class_triage import MaskedTriage, StackTriage
    from models.coplenet import CopleNet
    from models.covid_mtl import CovidMTL, CovidMTLTransfer, SqueezeNet3D
    from models.covnet import COVNet, ResNet50
    from models.ct_triage import LesionUNet, LungsUNet, MultitaskNet
    from models.decovnet import DeCoVNet, DeCoVNetLungs
    from models.deepsc import DeepSC
    from models.deepsc_triage import DeepScTriage
    from models.densevnet import DenseVNet
    from models.fss import FewShotNet
    from models.inf_net import InfNet
    from models.network import NetworkLungs, NetworkTriage
    from models.r231 import R231
    from models.reconstruction import Cnn8, ThreeTaskNet
    from models.resnet3d import ResNet3D
    from models.serving import LesionTriage, SeriesTriage, from_pairs, from_supports
    from models.slice_pool import SlicePoolNet
    from models.slicewise import SliceLungs, SliceTriage, classes, finest_map, one_score, three_tasks
    from models.unetpp import UNetPlusPlus
    from models.volume_triage import MeasuredTriage, VolumeTriage

    return {
        "lungs-unet": Architecture(network=LungsUNet, lungs=NetworkLungs),
        "lesion-unet": Architecture(network=LesionUNet, triage=LesionTriage),
        "multitask-net": Architecture(network=MultitaskNet, triage=NetworkTriage),
        "three-task-net": Architecture(network=ThreeTaskNet, triage=partial(SliceTriage, read=three_tasks)),
        "cnn8": Architecture(network=Cnn8, triage=partial(SliceTriage, read=one_score)),
        "r231": Architecture(network=R231, lungs=SliceLungs),
        "deepsc": Architecture(network=DeepSC, triage=DeepScTriage),
        "unetpp": Architecture(network=UNetPlusPlus, triage=LesionTriage),
        "densevnet": Architecture(network=DenseVNet, triage=partial(LesionTriage, likely=from_pairs)),
        "coplenet": Architecture(network=CopleNet, triage=partial(LesionTriage, likely=from_pairs)),
        "fss": Architecture(network=FewShotNet, triage=partial(LesionTriage, likely=from_supports)),
        "resnet3d": Architecture(network=ResNet3D, triage=VolumeTriage),
        "squeezenet3d": Architecture(network=SqueezeNet3D, triage=VolumeTriage),
        "covid-mtl": Architecture(network=CovidMTL, triage=MeasuredTriage),
        "covid-mtl-transfer": Architecture(network=CovidMTLTransfer, triage=VolumeTriage),
        "resnet50": Architecture(network=ResNet50, triage=partial(SliceTriage, read=classes)),
        "covnet": Architecture(network=COVNet, triage=StackTriage),
        "decovnet": Architecture(network=DeCoVNet, triage=MaskedTriage),
        "decovnet-lungs": Architecture(network=DeCoVNetLungs, lungs=SliceLungs),
        "inf-net": Architecture(network=InfNet, triage=partial(SliceTriage, read=finest_map)),
        "slice-pool": Architecture(network=SlicePoolNet, triage=SeriesTriage),
    }


def shipped() -> dict[str, Path]:
    """Bundles that come with the package, by folder name."""
    folder = Path(__file__).parent / "weights"
    return {p.parent.name: p.parent for p in sorted(folder.glob("*/card.json"))}


def megabytes(card: Card) -> float | None:
    """Of a shipped bundle's tensors on disk; None for a method, which has none."""
    from models.bundle import TENSORS

    folder = shipped().get(card.name)
    return None if folder is None else round((folder / TENSORS).stat().st_size / 1e6, 1)


def cards() -> list[Card]:
    """Every model that can be named in the configuration: methods first, then shipped bundles."""
    from models.bundle import read_card

    return [*METHODS.values(), *(read_card(folder) for folder in shipped().values())]
