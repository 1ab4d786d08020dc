"""A trained model on disk: a folder with card.json and tensors.safetensors. Never a pickle.

`load_bundle` verifies the tensors byte for byte against the card before anything is built from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.cards import Card

if TYPE_CHECKING:
    import torch

    from models.zoo import Architecture

CARD = "card.json"
TENSORS = "tensors.safetensors"
PICKLES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib"})


class BundleError(Exception):
    """A bundle that cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A card and the network it describes, in evaluation mode."""

    card: Card
    network: torch.nn.Module


def save_bundle(folder: Path, card: Card, tensors: Mapping[str, torch.Tensor]) -> Card:
    """Write a bundle; the card returned (and written) carries the sha256 of the tensors."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    content = save({name: t.detach().contiguous() for name, t in tensors.items()})
    (folder / TENSORS).write_bytes(content)
    card = replace(card, sha256=hashlib.sha256(content).hexdigest())
    (folder / CARD).write_text(card.to_json() + "\n", encoding="utf-8")
    return card


def read_card(folder: Path) -> Card:
    """The card alone, without torch. Raises BundleError."""
    try:
        return Card.from_json((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder.name}: no readable {CARD} ({error})") from error


def load_bundle(folder: Path, architectures: Mapping[str, Architecture], device: str = "cpu") -> Bundle:
    """Verify and build. Raises BundleError on a pickle, a changed byte, an unknown architecture, a library that the
    architecture needs and is not there, or other tensors than the architecture has."""
    _refuse_pickles(folder)
    card = read_card(folder)
    if card.architecture not in architectures:
        raise BundleError(f"{folder.name}: unknown architecture {card.architecture!r}")
    tensors = read_tensors(folder)
    try:
        network = architectures[card.architecture].network(**card.arguments)
        network.load_state_dict(tensors)
    except ModuleNotFoundError as error:
        raise BundleError(f"{folder.name}: {error}") from error
    except (RuntimeError, TypeError, ValueError) as error:
        raise BundleError(f"{folder.name}: the tensors do not fit {card.architecture}: {error}") from error
    return Bundle(card=card, network=network.to(device).eval())


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors by name, verified against the card. Raises BundleError on a pickle or a changed byte."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    _refuse_pickles(folder)
    card = read_card(folder)
    try:
        content = (folder / TENSORS).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder.name}: no readable {TENSORS}") from error
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise BundleError(f"{folder.name}: {TENSORS} is not what the card describes (sha256 differs)")
    try:
        return load(content)
    except SafetensorError as error:
        raise BundleError(f"{folder.name}: {TENSORS} holds no tensors: {error}") from error


def _refuse_pickles(folder: Path) -> None:
    if folder.suffix in PICKLES or any(p.suffix in PICKLES for p in folder.glob("*")):
        raise BundleError(f"{folder.name}: holds a pickle; weights load from {TENSORS} only")
