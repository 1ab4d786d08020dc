"""Networks that read whole volumes, in the role triage: what their answers mean is in their card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import zoo
from models.bundle import BundleError, load_bundle, save_bundle
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.predict import LungMasks, TriagePredictor, resolve
from models.prepare import prepare
from models.volume import Volume
from models.volume_triage import CT_CLASSES, DIAGNOSES, NAT_CLASSES, SEVERITIES

SPEC = InputSpec(
    kind=Kind.VOLUME,
    pixel_mm=4.0,
    slice_mm=5.0,
    window_hu=(-1024.0, 976.0),
    mask=MaskPolicy.ZERO,
    size=(16, 20, 24),
    mean_sd=(0.008, 0.04),
)


def volume() -> Volume:
    hu = np.random.default_rng(1).integers(-900, 100, (10, 20, 31)).astype(np.int16)
    return Volume(hu=hu, affine_lps=np.diag([7.0, 3.5, 3.0, 1.0]))


def lungs() -> LungMasks:
    labels = np.zeros((10, 20, 31), dtype=np.uint8)
    labels[2:8, 4:16, 3:14], labels[2:8, 4:16, 17:28] = 1, 2
    return LungMasks(labels=labels, sides_by_size=False)


def served(
    folder: Path, architecture: str, arguments: Mapping[str, Any], classes: Mapping[str, tuple[str, ...]]
) -> TriagePredictor:
    torch.manual_seed(7)
    card = Card(
        name="tried",
        version="1",
        number=12,
        paper="none",
        roles=("triage",),
        outputs=("probability",),
        architecture=architecture,
        arguments=arguments,
        input=SPEC,
        classes=classes,
    )
    save_bundle(folder, card, zoo.architectures()[architecture].network(**arguments).state_dict())
    return resolve(str(folder), "triage")


def test_several_tasks_give_a_probability_and_severities(tmp_path: Path) -> None:
    classes = {"CT": CT_CLASSES, "NAT": NAT_CLASSES, "severity": SEVERITIES}
    predictor = served(tmp_path, "covid-mtl", {"squeeze": 2}, classes)
    found = predictor.triage(volume(), lungs())
    assert found.lesions is None
    assert found.class_probabilities is not None
    assert tuple(found.class_probabilities) == SEVERITIES
    assert sum(found.class_probabilities.values()) == pytest.approx(1.0)
    image = prepare(volume(), SPEC, lungs().labels > 0).image
    logits = load_bundle(tmp_path, zoo.architectures()).network(torch.from_numpy(image)[None, None])["NAT"]
    assert found.probability == pytest.approx(float(torch.softmax(logits.detach(), 1)[0, 1]), rel=1e-5)


@pytest.mark.parametrize(
    ("task", "names", "probability", "several"),
    [
        ("CT", CT_CLASSES, True, False),
        ("NAT", NAT_CLASSES, True, False),
        ("severity", SEVERITIES, False, True),
        ("diagnosis", DIAGNOSES, True, True),
    ],
)
def test_one_task_gives_what_its_classes_say(
    task: str, names: tuple[str, ...], probability: bool, several: bool, tmp_path: Path
) -> None:
    predictor = served(tmp_path, "squeezenet3d", {"classes": len(names), "squeeze": 2}, {task: names})
    found = predictor.triage(volume(), lungs())
    assert (found.probability is not None) == probability
    assert (found.class_probabilities is not None) == several
    if probability and found.class_probabilities is not None:
        assert found.probability == found.class_probabilities["COVID-19"]


def test_a_card_that_does_not_fit_the_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="what the classes are"):
        served(tmp_path / "a", "squeezenet3d", {"squeeze": 2}, {})
    wrong = served(tmp_path / "b", "squeezenet3d", {"squeeze": 2}, {"severity": SEVERITIES})
    with pytest.raises(BundleError, match="2 answers for the classes"):
        wrong.triage(volume(), lungs())


def test_a_volume_without_lungs_is_refused(tmp_path: Path) -> None:
    predictor = served(tmp_path, "squeezenet3d", {"squeeze": 2}, {"CT": CT_CLASSES})
    nothing = LungMasks(labels=np.zeros((10, 20, 31), dtype=np.uint8), sides_by_size=False)
    with pytest.raises(ValueError, match="needs lungs"):
        predictor.triage(volume(), nothing)
