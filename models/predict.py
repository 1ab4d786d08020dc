"""The two roles a model can fill, and what fills them: a method of the house or a bundle.

`resolve` turns a name or a path of the configuration into a predictor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from models import classical, contour, thresholding, zoo
from models.bundle import BundleError, load_bundle, read_card
from models.cards import Card
from models.forest import ARCHITECTURE as TREES
from models.grid import in_plane_shape, regrid_affine, resample_hu, resample_mask
from models.severity import LEFT, RIGHT
from models.sides import middle_of, split
from models.volume import Volume

if TYPE_CHECKING:
    from models.zoo import Architecture

Role = Literal["lungs", "triage"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LungMasks:
    """Labels RIGHT and LEFT on the volume's grid, uint8 (slice, row, column)."""

    labels: NDArray[np.uint8]
    sides_by_size: bool  # named by size, because the orientation is unknown
    doubt: float | None = None  # of a network: undecided pixels, by those it calls lung


@dataclass(frozen=True, kw_only=True, eq=False)
class TriageResult:
    """What a triage model says; None where it does not say. `lesions` is on the volume's grid."""

    lesions: NDArray[np.bool_] | None = None
    probability: float | None = None
    class_probabilities: Mapping[str, float] | None = None
    doubt: float | None = None  # of a network that gives lesions: the share of lung where it is undecided
    tasks: Mapping[str, Mapping[str, float]] | None = None  # every class of every task, of a model that has several


class LungsPredictor(Protocol):
    @property
    def card(self) -> Card: ...

    def lungs(self, volume: Volume) -> LungMasks: ...


class TriagePredictor(Protocol):
    @property
    def card(self) -> Card: ...

    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult: ...


class UnknownModel(Exception):
    """A name or path that is no model, or one that cannot fill the role."""


@dataclass(frozen=True, kw_only=True)
class ClassicalLungs:
    """Models 33, 34 and 31: lungs without learning, then their sides."""

    card: Card

    def lungs(self, volume: Volume) -> LungMasks:
        shape = in_plane_shape(volume.shape, volume.spacing_mm[1:], classical.GRID_MM)
        affine = regrid_affine(volume.affine_lps, volume.shape, shape)
        hu = resample_hu(volume.hu, shape)
        mm = _lengths(affine)
        if self.card.name == "generic-lungs":
            both = classical.generic_lungs(hu, mm)
        else:
            both = classical.hybrid_lungs(hu, mm, head_first=bool(affine[2, 0] < 0))
        if not both.any():
            return LungMasks(labels=np.zeros(volume.shape, dtype=np.uint8), sides_by_size=not volume.oriented)
        with_lung = both.any(axis=(1, 2))
        middle_mm = middle_of(classical.body_mask(hu[with_lung], mm), affine)
        labels = split(both, affine, oriented=volume.oriented, middle_mm=middle_mm)
        if self.card.name == "classical-lungs-refined":
            labels = contour.refine(hu, labels, mm, contour.WITHOUT_EROSION)
        elif self.card.name == "classical-lungs":
            labels = contour.inflate(labels, mm)
        return LungMasks(labels=_on_volume(labels, volume), sides_by_size=not volume.oriented)


@dataclass(frozen=True, kw_only=True)
class ThresholdTriage:
    """Model 32: a lesion mask, no probability. The thresholds are the card's."""

    card: Card

    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        settings = thresholding.Thresholding.of(self.card.thresholds)
        return TriageResult(lesions=thresholding.lesions(volume, lungs.labels > 0, settings))


@overload
def resolve(name: str, role: Literal["lungs"], device: str = "cpu") -> LungsPredictor: ...
@overload
def resolve(name: str, role: Literal["triage"], device: str = "cpu") -> TriagePredictor: ...
def resolve(
    name: str, role: Role, device: str = "cpu", architectures: Mapping[str, Architecture] | None = None
) -> LungsPredictor | TriagePredictor:
    """The predictor of that name (a method, a shipped bundle, or a path to a bundle) for the role.

    Raises UnknownModel where there is none or it cannot fill the role, BundleError where it is damaged.
    """
    card = zoo.METHODS.get(name)
    if card is None:
        return _from_bundle(name, role, device, zoo.architectures() if architectures is None else architectures)
    if role not in card.roles:
        raise UnknownModel(f"{name} fills {', '.join(card.roles)}, not {role}")
    return ClassicalLungs(card=card) if role == "lungs" else ThresholdTriage(card=card)


def _from_bundle(
    name: str, role: Role, device: str, architectures: Mapping[str, Architecture]
) -> LungsPredictor | TriagePredictor:
    folder = zoo.shipped().get(name, Path(name))
    if not folder.is_dir():
        known = ", ".join(sorted({*zoo.METHODS, *zoo.shipped()}))
        raise UnknownModel(f"{name} is neither a model ({known}) nor the folder of a bundle")
    named = _architecture(folder)
    if role == "triage" and named == TREES:
        from models.radiomic_triage import RadiomicTriage

        return RadiomicTriage.of_bundle(folder)
    if role == "triage" and named == thresholding.ARCHITECTURE:
        return ThresholdTriage(card=read_card(folder))
    bundle = load_bundle(folder, architectures, device)
    architecture = architectures[bundle.card.architecture]
    fill = architecture.lungs if role == "lungs" else architecture.triage
    if fill is None or role not in bundle.card.roles:
        raise UnknownModel(f"{bundle.card.name} cannot fill the role {role}")
    return fill(bundle, device)


def _architecture(folder: Path) -> str:
    """Models 7, 8 and 32 are no networks. What is wrong with a folder, `load_bundle` says."""
    try:
        return read_card(folder).architecture
    except BundleError:
        return ""


def _on_volume(labels: NDArray[np.uint8], volume: Volume) -> NDArray[np.uint8]:
    result = np.zeros(volume.shape, dtype=np.uint8)
    for side in (RIGHT, LEFT):
        result[resample_mask(labels == side, volume.shape) & (result == 0)] = side
    return result


def _lengths(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    s = np.linalg.norm(affine[:3, :3], axis=0)
    return float(s[0]), float(s[1]), float(s[2])


__all__ = [
    "BundleError",
    "ClassicalLungs",
    "LungMasks",
    "LungsPredictor",
    "ThresholdTriage",
    "TriagePredictor",
    "TriageResult",
    "UnknownModel",
    "resolve",
]
