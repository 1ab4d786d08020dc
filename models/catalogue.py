"""The 36 models and methods of the four papers, as data: what each is, what it can do here, how large it is.

Numbers and parameter counts are those of the fact sheet this zoo was built from: trainable weights including biases
and the affine part of norms, at the configuration of the paper. `models.zoo.architectures()` holds the constructors
that a configuration names; one test builds every one of them and counts. Pure data: no torch, nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CT_TRIAGE = "CT-based COVID-19 triage (Goncharov et al., Medical Image Analysis 2021)"
COVID_MTL = "COVID-MTL (Bao et al., Pattern Recognition 2022)"
AMYAR = "Multi-task deep learning for COVID-19 (Amyar et al., Computers in Biology and Medicine 2020)"
DEEPSC = "DeepSC-COVID (Wang et al., IEEE Transactions on Medical Imaging 2021)"

Kind = Literal["network", "forest", "boosting", "features", "method"]
LUNGS, TRIAGE = ("lungs",), ("triage",)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One network of an item: its architecture in `models.zoo`, the constructor's arguments, and its size."""

    architecture: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    parameters: int
    what: str = ""  # sets it apart from the item's other configurations


@dataclass(frozen=True, kw_only=True)
class Item:
    """One of the 36. `name` is what the configuration, `triaged train` and the tables call it."""

    number: int
    name: str
    title: str  # as the paper's tables have it
    paper: str
    kind: Kind
    roles: tuple[str, ...] = ()  # empty: takes part in a role, and fills none alone
    configurations: tuple[Configuration, ...] = ()  # the first is the paper's own

    @property
    def parameters(self) -> int | None:
        """Trainable weights of the paper's configuration; None for what has none."""
        return self.configurations[0].parameters if self.configurations else None


def _unet(width: int = 8, levels: int = 7) -> dict[str, Any]:
    return {"width": width, "levels": levels}


_CT_TRIAGE = (
    Item(
        number=1,
        name="lungs-unet",
        title="Lung segmentation 2D U-Net",
        paper=CT_TRIAGE,
        kind="network",
        roles=LUNGS,
        configurations=(Configuration(architecture="lungs-unet", arguments=_unet(), parameters=10_583_112),),
    ),
    Item(
        number=2,
        name="lesion-unet",
        title="2D U-Net",
        paper=CT_TRIAGE,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="lesion-unet", arguments=_unet(), parameters=10_583_112),),
    ),
    Item(
        number=3,
        name="lesion-unet-plus",
        title="2D U-Net+",
        paper=CT_TRIAGE,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="lesion-unet", arguments=_unet(), parameters=10_583_112),),
    ),
    Item(
        number=4,
        name="lesion-unet-3d",
        title="3D U-Net",
        paper=CT_TRIAGE,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="lesion-unet", arguments=_unet() | {"axes": 3}, parameters=31_030_104),
        ),
    ),
    Item(
        number=5,
        name="slice-pool",
        title="ResNet50",
        paper=CT_TRIAGE,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(
                architecture="slice-pool",
                arguments={"head": "maximum"},
                parameters=23_503_809,
                what="maximum over slices, as the paper has it",
            ),
            Configuration(
                architecture="slice-pool",
                arguments={"head": "pyramid"},
                parameters=40_912_809,
                what="1D pyramid over slices, as the published code has it",
            ),
        ),
    ),
    Item(
        number=6,
        name="ct-triage",
        title="Proposed",
        paper=CT_TRIAGE,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(
                architecture="multitask-net", arguments=_unet() | {"pyramid_hidden": 1024}, parameters=15_377_480
            ),
        ),
    ),
)

_COVID_MTL = (
    Item(number=7, name="random-forest", title="RF", paper=COVID_MTL, kind="forest", roles=TRIAGE),
    Item(number=8, name="lightgbm", title="LGBM", paper=COVID_MTL, kind="boosting", roles=TRIAGE),
    Item(
        number=9,
        name="resnet3d",
        title="ResNet3D",
        paper=COVID_MTL,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="resnet3d", parameters=63_460_930, what="2 classes: CT or NAT"),
            Configuration(
                architecture="resnet3d", arguments={"classes": 3}, parameters=63_461_443, what="3 classes: severity"
            ),
        ),
    ),
    Item(
        number=10,
        name="squeezenet3d",
        title="SqueezeNet3D",
        paper=COVID_MTL,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="squeezenet3d", parameters=3_660_034, what="2 classes: CT or NAT"),
            Configuration(
                architecture="squeezenet3d", arguments={"classes": 3}, parameters=3_660_547, what="3 classes: severity"
            ),
        ),
    ),
    Item(
        number=11,
        name="shiftnet3d",
        title="ShiftNet3D",
        paper=COVID_MTL,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(
                architecture="squeezenet3d",
                arguments={"shift": True},
                parameters=3_660_034,
                what="2 classes: CT or NAT",
            ),
            Configuration(
                architecture="squeezenet3d",
                arguments={"classes": 3, "shift": True},
                parameters=3_660_547,
                what="3 classes: severity",
            ),
        ),
    ),
    Item(
        number=12,
        name="covid-mtl",
        title="COVID-MTL",
        paper=COVID_MTL,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(
                architecture="covid-mtl",
                arguments={"features": 375},
                parameters=3_848_199,
                what="volume and 375 features",
            ),
            Configuration(architecture="covid-mtl", parameters=3_708_487, what="volume only"),
        ),
    ),
    Item(
        number=13,
        name="covid-mtl-transfer",
        title="COVID-MTL (Transfer)",
        paper=COVID_MTL,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="covid-mtl-transfer", parameters=3_693_511, what="and the two diagnoses"),
        ),
    ),
)

_AMYAR = (
    Item(
        number=14,
        name="reconstruction",
        title="T1 & T2 & T3",
        paper=AMYAR,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="three-task-net", parameters=45_458_123),
            Configuration(
                architecture="three-task-net", arguments={"plane": 512}, parameters=48_603_851, what="512 x 512"
            ),
            *(
                Configuration(architecture="three-task-net", arguments={"tasks": tasks}, parameters=count, what=tasks)
                for tasks, count in (("T1T2", 43_221_322), ("T1T3", 33_268_486), ("T2T3", 33_268_486))
            ),
            *(
                Configuration(
                    architecture="three-task-net", arguments={"plane": n}, parameters=count, what=f"{n} x {n}"
                )
                for n, count in ((128, 44_671_691), (64, 44_475_083))
            ),
        ),
    ),
    Item(
        number=15,
        name="unet",
        title="U-Net",
        paper=AMYAR,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="three-task-net", arguments={"tasks": "T2"}, parameters=31_031_685),
        ),
    ),
    Item(
        number=16,
        name="cnn8",
        title="CNN 8 layers",
        paper=AMYAR,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="cnn8", parameters=917_953),
            *(
                Configuration(architecture="cnn8", arguments={"plane": n}, parameters=count, what=f"{n} x {n}")
                for n, count in ((128, 524_737), (64, 426_433))
            ),
        ),
    ),
)

_HARA = {"classes": 3, "depth": 50, "stem": 7, "stem_slices": 1, "first_stride": 1, "momentum": 0.1}
_DEEPSC = (
    Item(
        number=17,
        name="r231",
        title="U-net(R231)",
        paper=DEEPSC,
        kind="network",
        roles=LUNGS,
        configurations=(Configuration(architecture="r231", parameters=28_953_539),),
    ),
    Item(
        number=18,
        name="deepsc",
        title="DeepSC-COVID",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="deepsc", parameters=8_233_156, what="one-channel heads, as the paper has them"),
            Configuration(
                architecture="deepsc",
                arguments={"channels": 2},
                parameters=8_233_640,
                what="two-channel heads, as the published code has them",
            ),
            Configuration(
                architecture="deepsc", arguments={"inception": False}, parameters=8_218_204, what="no inception block"
            ),
            Configuration(
                architecture="deepsc", arguments={"cross_stitch": False}, parameters=8_233_152, what="no cross-stitch"
            ),
        ),
    ),
    Item(
        number=19,
        name="deepsc-lesions",
        title="DeepSC-COVID w/o Cls.",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="deepsc", arguments={"tasks": "lesions"}, parameters=4_737_432),),
    ),
    Item(
        number=20,
        name="deepsc-diagnosis",
        title="DeepSC-COVID w/o Seg.",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="deepsc", arguments={"tasks": "diagnosis"}, parameters=3_496_215),),
    ),
    Item(
        number=21,
        name="unetpp-l1",
        title="U-Net++ L1",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="unetpp", arguments={"depth": 1}, parameters=100_961),
            Configuration(
                architecture="unetpp",
                arguments={"deep_supervision": True},
                parameters=9_041_700,
                what="as it is trained, together with L4",
            ),
        ),
    ),
    Item(
        number=22,
        name="unetpp",
        title="U-Net++ L4",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="unetpp", parameters=9_041_601, what="pruned to its last head"),
            Configuration(architecture="unetpp", arguments={"depth": 2}, parameters=511_105, what="L2"),
            Configuration(architecture="unetpp", arguments={"depth": 3}, parameters=2_204_961, what="L3"),
            Configuration(
                architecture="unetpp",
                arguments={"deep_supervision": True},
                parameters=9_041_700,
                what="with four heads, as it is trained",
            ),
        ),
    ),
    Item(
        number=23,
        name="densevnet",
        title="DenseVNet",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="densevnet", parameters=866_978),),
    ),
    Item(
        number=24,
        name="coplenet",
        title="COPLE-Net",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="coplenet", parameters=10_521_666),),
    ),
    Item(
        number=25,
        name="fss",
        title="FSS-2019-nCov",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="fss", parameters=78_168_017, what="rebuilt"),),
    ),
    Item(
        number=26,
        name="resnet50",
        title="ResNet-50",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="resnet50", parameters=23_514_179),),
    ),
    Item(
        number=27,
        name="resnet50-3d",
        title="3D ResNet-50",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="resnet3d", arguments=_HARA, parameters=46_161_219),
            Configuration(
                architecture="resnet3d", arguments=_HARA | {"pseudo": True}, parameters=27_306_691, what="pseudo-3D"
            ),
        ),
    ),
    Item(
        number=28,
        name="covnet",
        title="COVNet",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="covnet", parameters=23_514_179),),
    ),
    Item(
        number=29,
        name="decovnet",
        title="DeCoVNet",
        paper=DEEPSC,
        kind="network",
        roles=TRIAGE,
        configurations=(
            Configuration(architecture="decovnet", parameters=347_011, what="3 classes"),
            Configuration(
                architecture="decovnet", arguments={"classes": 2}, parameters=346_978, what="2 classes, as published"
            ),
            Configuration(architecture="decovnet-lungs", parameters=839_506, what="its own 2D lung U-Net"),
        ),
    ),
    Item(
        number=30,
        name="inf-net",
        title="Inf-Net",
        paper="Inf-Net (Fan et al., IEEE Transactions on Medical Imaging 2020), cited by " + CT_TRIAGE,
        kind="network",
        roles=TRIAGE,
        configurations=(Configuration(architecture="inf-net", parameters=31_072_721),),
    ),
)

_METHODS = (
    Item(number=31, name="kmeans-sides", title="k-means left/right split", paper=CT_TRIAGE, kind="method"),
    Item(number=32, name="thresholding", title="Thresholding", paper=CT_TRIAGE, kind="method", roles=TRIAGE),
    Item(
        number=33,
        name="classical-lungs",
        title="Classical",
        paper=COVID_MTL,
        kind="method",
        roles=LUNGS,
    ),
    Item(
        number=34,
        name="classical-lungs-refined",
        title="Proposed (active-contour refinement)",
        paper=COVID_MTL,
        kind="method",
        roles=LUNGS,
    ),
    Item(number=35, name="radiomics", title="Radiomics, 375 features", paper=COVID_MTL, kind="features"),
    Item(number=36, name="triage-scorer", title="Severity, grade and order", paper=CT_TRIAGE, kind="method"),
)

ITEMS: tuple[Item, ...] = (*_CT_TRIAGE, *_COVID_MTL, *_AMYAR, *_DEEPSC, *_METHODS)


def item(number: int) -> Item:
    """One of the 36, by its number. Raises ValueError."""
    if not 1 <= number <= len(ITEMS):
        raise ValueError(f"there is no model {number}: they are numbered 1 to {len(ITEMS)}")
    return ITEMS[number - 1]
