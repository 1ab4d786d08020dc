"""Evidence masks on a study: they add up to the logit, and lie where the network looked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.bundle import Bundle, BundleError
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.deepsc import DeepSC, Tasks
from models.deepsc_triage import TASK, DeepScTriage
from models.predict import LungMasks
from models.volume import Volume
from models.volume_triage import DIAGNOSES
from training.analyses import attention_figure
from training.analyses.evidence import WHOLE, evidence, on_slices, together

SPEC = InputSpec(
    kind=Kind.VOLUME,
    pixel_mm=3.0,
    window_hu=(-1400.0, 200.0),
    mask=MaskPolicy.ZERO,
    tile=(8, 32, 32),
    overview=(16, 32, 32),
)
SHAPE = (10, 24, 31)


def bundle(tasks: Tasks) -> Bundle:
    torch.manual_seed(8)
    card = Card(
        name="drawn",
        version="1",
        number=18,
        paper="none",
        roles=("triage",),
        outputs=("probability",),
        input=SPEC,
        classes={TASK: DIAGNOSES},
    )
    return Bundle(card=card, network=DeepSC(tasks).eval())


def study() -> tuple[Volume, LungMasks]:
    hu = np.random.default_rng(2).integers(-950, -400, SHAPE).astype(np.int16)
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:9, 3:21, 2:14], labels[1:9, 3:21, 17:29] = 1, 2
    return Volume(hu=hu, affine_lps=np.diag([5.0, 3.0, 3.0, 1.0])[[2, 1, 0, 3]]), LungMasks(
        labels=labels, sides_by_size=False
    )


@pytest.mark.parametrize("tasks", ["both", "diagnosis"])
def test_masks_and_a_bias_are_the_logit(tasks: Tasks) -> None:
    made, (volume, lungs) = bundle(tasks), study()
    predictor = DeepScTriage(made, "cpu")
    network = made.network
    assert isinstance(network, DeepSC)
    found = evidence(made, predictor, volume, lungs, chosen=DIAGNOSES[1])
    bias = float(network.class_net.classify.bias[1].detach())
    assert sum(found.from_places) + bias == pytest.approx(found.logit, abs=1e-5)
    assert found.chosen == DIAGNOSES[1]
    served = predictor.triage(volume, lungs).class_probabilities
    assert served is not None
    assert dict(found.classes) == pytest.approx(dict(served))
    assert [m.name.split(", ")[1] for m in found.masks] == ["encoder 1", "encoder 2", "encoder 3", WHOLE]
    assert all(m.values.shape == SHAPE for m in found.masks)
    assert (found.lesions is not None) == (tasks == "both")


def test_the_likeliest_class_is_shown_unless_another_is_named() -> None:
    made, (volume, lungs) = bundle("diagnosis"), study()
    found = evidence(made, DeepScTriage(made, "cpu"), volume, lungs)
    assert found.classes[found.chosen] == max(found.classes.values())
    with pytest.raises(ValueError, match="no class 'flu'"):
        evidence(made, DeepScTriage(made, "cpu"), volume, lungs, chosen="flu")


def test_a_network_without_a_diagnosis_is_refused() -> None:
    made, (volume, lungs) = bundle("lesions"), study()
    with pytest.raises(BundleError, match="no evidence masks"):
        evidence(made, DeepScTriage(made, "cpu"), volume, lungs)


def test_what_is_added_up_keeps_its_mean() -> None:
    torch.manual_seed(1)
    maps = [torch.rand(8, 12, 12), torch.rand(4, 6, 6), torch.rand(2, 3, 3)]
    assert together(maps).mean() == pytest.approx(float(torch.stack([m.mean() for m in maps]).sum()), rel=1e-5)


@pytest.mark.parametrize("pooled", [1, 4])
def test_a_cell_lies_on_the_slices_it_was_made_from(pooled: int) -> None:
    """An overview of 16 out of 81 slices has every fifth; a cell over several lies in their middle."""
    depth = 16 // pooled
    for cell in range(depth):
        mask = torch.zeros(depth, 1, 1)
        mask[cell] = 1.0
        picked = [5 * i for i in range(pooled * cell, pooled * (cell + 1))]
        found = on_slices(mask, 16, 81)[:, 0, 0]
        assert found[round(np.mean(picked))] > 0.85
        assert (found[[p for p in range(81) if abs(p - np.mean(picked)) > 5 * pooled]] == 0).all()
    assert torch.allclose(on_slices(torch.ones(depth, 2, 2), 16, 81), torch.ones(81, 2, 2))


def test_a_scan_of_one_slice_has_its_mask() -> None:
    assert on_slices(torch.ones(4, 2, 3), 16, 1).shape == (1, 2, 3)


def test_the_figure_has_a_row_for_each_mask() -> None:
    made, (volume, lungs) = bundle("both"), study()
    found = evidence(made, DeepScTriage(made, "cpu"), volume, lungs)
    figure = attention_figure.draw(volume, lungs.labels > 0, found.masks, "drawn", found.lesions)
    rows = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel().startswith((found.chosen, "CT"))]
    assert rows == ["CT", *(mask.name for mask in found.masks)]
