"""Who is judged, by the words of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models import zoo
from models.bundle import read_card
from models.cards import Card
from models.predict import UnknownModel
from training.evaluate import CLASSICAL, Contender

LEARNED = "learned"


def contenders(named: Sequence[str], lungs: str | None = None) -> list[Contender]:
    """LABEL=LUNGS,TRIAGE, or a bundle: its folder, or the name of one that ships. A bundle for the triage is given the
    lungs of `lungs`, else of the bundle that ships, else the classical ones; a bundle for the lungs the thresholding.
    Without names, the bundles that ship. Raises UnknownModel, ValueError or BundleError."""
    if not named:
        return _shipped()
    found = [_pair(text) if "=" in text else _bundle(text, lungs) for text in named]
    labels = [contender.label for contender in found]
    if len({CLASSICAL.label, *labels}) <= len(labels):
        raise ValueError(f"labels must differ from each other and from {CLASSICAL.label!r}: {', '.join(labels)}")
    return found


def _pair(text: str) -> Contender:
    label, _, rest = text.partition("=")
    lungs, comma, triage = rest.partition(",")
    if not (label and lungs and comma and triage):
        raise ValueError(f"{text!r} is not LABEL=LUNGS,TRIAGE")
    return Contender(label=label, lungs=lungs, triage=triage)


def _bundle(text: str, lungs: str | None) -> Contender:
    card = _card(text)
    if "triage" in card.roles:
        chosen = lungs or _first("lungs") or CLASSICAL.lungs
        return Contender(label=card.name, lungs=text if "lungs" in card.roles else chosen, triage=text)
    return Contender(label=card.name, lungs=text, triage=CLASSICAL.triage)


def _card(text: str) -> Card:
    if text in zoo.METHODS:
        return zoo.METHODS[text]
    folder = zoo.shipped().get(text, Path(text))
    if not folder.is_dir():
        known = ", ".join(sorted({*zoo.METHODS, *zoo.shipped()}))
        raise UnknownModel(f"{text} is neither a model ({known}) nor the folder of a bundle")
    return read_card(folder)


def _shipped() -> list[Contender]:
    lungs, triage = _first("lungs"), _first("triage")
    return [Contender(label=LEARNED, lungs=lungs, triage=triage)] if lungs and triage else []


def _first(role: str) -> str | None:
    return next((name for name, folder in zoo.shipped().items() if role in read_card(folder).roles), None)
