"""Learned lungs in the pipeline: who answers, who stands in, what is said of it. The networks are known functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from models import zoo
from models.bundle import save_bundle
from models.cards import Card
from models.case import InputSpec, Kind
from models.crosscheck import Verdict
from models.ct_triage import LungsUNet
from models.network import WINDOW_HU, NetworkLungs
from models.opacity import unexplained
from models.pipeline import Pipeline, Prediction
from models.refusal import NotAVolume
from models.severity import LEFT, RIGHT
from models.zoo import Architecture
from tests.unit.models.chest import LEFT_LUNG, RIGHT_LUNG, Chest, Drawn, Ellipsoid, draw

SPEC = InputSpec(kind=Kind.SLICES, pixel_mm=2.0, window_hu=WINDOW_HU)
WHITE_HU = -300  # no air by the classical threshold, and not the HU of the body around
WHITE = Ellipsoid(centre=(0, 25, -75), half=(130, 90, 65))  # all of the right lung but its front


class Between(LungsUNet):
    """Calls lung what lies between two HU."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(width=1, levels=2)
        first, last = ((hu - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0]) for hu in (low, high))
        self.middle, self.half = (first + last) / 2, (last - first) / 2

    def forward(self, x: Tensor) -> Tensor:
        return 200.0 * (self.half - (x - self.middle).abs())


Run = Callable[..., Prediction]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The pipeline with a bundle of the network that calls lung what lies between `low` and `high`."""
    monkeypatch.setattr(zoo, "architectures", lambda: {"between": Architecture(network=Between, lungs=NetworkLungs)})

    def of(chest: Chest, low: float, high: float, **card: Any) -> Prediction:
        fields: dict[str, Any] = {"name": "learned", "version": "4", "number": 1, "paper": "none", "synthetic": True}
        made = Card(
            **fields | card,
            roles=("lungs",),
            outputs=("lungs",),
            architecture="between",
            arguments={"low": low, "high": high},
            input=SPEC,
        )
        save_bundle(tmp_path, made, Between(low, high).state_dict())
        return Pipeline(lungs=str(tmp_path)).run(shown(chest).volume)

    return of


def shown(chest: Chest) -> Drawn:
    return draw(chest, pixel_mm=2.0, slice_mm=12.0)  # the network's own pixels: a blurred skin would look like lung


def lungs_identity(found: Prediction) -> tuple[str, str, bool]:
    return found.identities[0].name, found.identities[0].version, found.identities[0].synthetic


def test_learned_lungs_that_the_classical_ones_confirm_answer(run: Run) -> None:
    found = run(Chest(trachea=False), -960, -650)
    assert found.crosscheck is not None
    assert (found.crosscheck.verdict, found.crosscheck.words) == (Verdict.AGREE, "")
    assert lungs_identity(found) == ("learned", "4", True)
    assert list(found.seconds) == ["lungs", "cross-check", "triage", "extent", "severity"]
    assert found.unfamiliar == ()


@pytest.mark.parametrize(
    ("chest", "range_hu"),
    [
        (Chest(trachea=False), (500, 600)),
        (Chest(trachea=False, dense=((LEFT_LUNG, -700),)), (-960, -790)),
    ],
    ids=["none found", "one lung left out"],
)
def test_where_the_network_fails_the_classical_lungs_stand_in_and_say_so(
    run: Run, chest: Chest, range_hu: tuple[float, float]
) -> None:
    found = run(chest, *range_hu)
    assert found.crosscheck is not None
    assert found.crosscheck.verdict is Verdict.FAILED
    assert lungs_identity(found) == ("classical-lungs", "1", False)
    np.testing.assert_array_equal(found.labels, Pipeline().run(shown(chest).volume).labels)


def test_a_white_lung_that_only_the_network_sees_is_its_own_and_measured(run: Run) -> None:
    chest = Chest(trachea=False, dense=((WHITE, WHITE_HU),))
    found = run(chest, -960, -200)
    assert found.crosscheck is not None
    assert found.crosscheck.verdict is Verdict.DISAGREE
    assert "right lung is none by the classical method" in found.crosscheck.words
    assert lungs_identity(found)[0] == "learned"
    assert (found.labels == RIGHT)[shown(chest).right].mean() > 0.97
    assert found.severity is not None
    assert found.severity.fraction_right > 0.5 > found.severity.fraction_left


def test_lungs_without_any_air_are_unconfirmed(run: Run) -> None:
    found = run(Chest(trachea=False, dense=((RIGHT_LUNG, WHITE_HU), (LEFT_LUNG, WHITE_HU))), -960, -200)
    assert found.crosscheck is not None
    assert found.crosscheck.verdict is Verdict.UNCONFIRMED


def test_where_neither_method_finds_lungs_there_are_none(run: Run) -> None:
    with pytest.raises(NotAVolume, match="no_lungs"):
        run(Chest(right=None, left=None, trachea=False), 500, 600)


def test_an_input_unlike_the_training_is_named_by_the_model_that_answered(run: Run) -> None:
    strict = {"aerated_hu": (-700.0, -600.0), "noise_hu": (0.0, 4.0), "undecided": (0.0, 1.0)}
    found = run(Chest(trachea=False), -960, -650, familiar=strict)
    assert [each.far for each in found.unfamiliar] == [True, True]
    assert all("(learned)" in each.words for each in found.unfamiliar)
    assert "familiarity" in found.seconds
    stood_in = run(Chest(trachea=False), 500, 600, familiar=strict)
    assert stood_in.unfamiliar == (), "the network took no part"


def test_dense_lung_is_unexplained_until_somebody_calls_it_a_lesion() -> None:
    labels = np.zeros((10, 20, 31), np.uint8)
    labels[:, :, 3:13], labels[:, :, 17:27] = RIGHT, LEFT
    hu = np.full(labels.shape, -850, np.int16)
    hu[:4, :, 17:27] = 30
    hu[:, :, 28:] = 30  # beside the lungs
    lesions = np.zeros(labels.shape, np.bool_)
    lesions[:3] = True
    assert unexplained(hu, labels, None) == (0.0, pytest.approx(0.4))
    assert unexplained(hu, labels, lesions) == (0.0, pytest.approx(0.1))
    assert unexplained(hu, np.where(labels == RIGHT, labels, 0).astype(np.uint8), None) == (0.0, 0.0)


def test_the_pipeline_measures_what_its_triage_model_left_unexplained(run: Run) -> None:
    """Thresholding calls every dense region a lesion, so nothing is left."""
    chest = Chest(trachea=False, dense=((WHITE, -100),))
    found = run(chest, -960, -50)
    assert max(found.unexplained) < 0.05
    assert found.lesions is not None
    quiet = replace(found, lesions=np.zeros_like(found.lesions))
    assert unexplained(quiet.volume.hu, quiet.labels, quiet.lesions)[0] > 0.5
