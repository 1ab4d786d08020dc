"""What is familiar to a network that has been trained: measured over the patients it learned from and was chosen by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from models import zoo
from models.bundle import Bundle
from models.cards import Card
from models.familiar import features, ranges
from models.predict import LungMasks, LungsPredictor, TriagePredictor
from models.severity import RIGHT
from training.datasets.phantom import Library, Patient, Phantoms, volume_of
from training.recipe import Data

PATIENTS = 40  # half of them of each library; more take minutes and move the ends of a range little


def measured(data: Data, card: Card, network: torch.nn.Module) -> dict[str, tuple[float, float]]:
    """The ranges for the card, by the code that serves. Empty where the data are no patients to be served.

    Leaves the network in evaluation mode, its weights as they were.
    """
    if not isinstance(data, Phantoms):
        return {}
    bundle = Bundle(card=card, network=network.eval())
    device = str(next(network.parameters()).device)
    architecture = zoo.architectures()[card.architecture]
    chosen = [patient for library in (data.train, data.held_out) for patient in _some(library)]
    if "lungs" in card.roles and architecture.lungs is not None:
        lungs = architecture.lungs(bundle, device)
        return ranges(_with_own_lungs(patient, lungs) for patient in chosen)
    if "triage" in card.roles and architecture.triage is not None:
        triage = architecture.triage(bundle, device)
        return ranges(_with_true_lungs(patient, triage) for patient in chosen)
    return {}


def _some(library: Library) -> Iterator[Patient]:
    """Evenly spread, always the same."""
    count = len(library.kinds)
    for index in np.unique(np.linspace(0, count - 1, min(count, PATIENTS // 2)).round().astype(int)):
        yield library[int(index)]


def _with_own_lungs(patient: Patient, predictor: LungsPredictor) -> Mapping[str, float]:
    volume = volume_of(patient)
    found = predictor.lungs(volume)
    said = features(volume, found.labels > 0)
    return said if found.doubt is None else said | {"undecided": found.doubt}


def _with_true_lungs(patient: Patient, predictor: TriagePredictor) -> Mapping[str, float]:
    if not patient.lungs.any():
        return {}
    volume = volume_of(patient)
    # Of the sides a triage model knows nothing.
    masks = LungMasks(labels=np.where(patient.lungs, np.uint8(RIGHT), np.uint8(0)), sides_by_size=False)
    doubt = predictor.triage(volume, masks).doubt if "lesions" in predictor.card.outputs else None
    said = features(volume, patient.lungs)
    return said if doubt is None else said | {"undecided": doubt}
