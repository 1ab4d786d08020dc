"""What makes an input unlike the training, and by how much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.cards import Card
from models.familiar import FAR, MARGIN, features, ranges, undecided, unfamiliar
from models.volume import Volume

CARD = Card(name="net", version="1", number=1, paper="", roles=("lungs",), outputs=("lungs",))
SHAPE = (10, 60, 91)


def chest(noise: float, *, lung_hu: float = -850.0, slices: int = 10) -> tuple[Volume, NDArray[np.bool_]]:
    lungs = np.zeros((slices, *SHAPE[1:]), np.bool_)
    lungs[1:-1, 15:45, 10:35], lungs[2:-1, 15:45, 50:80] = True, True
    hu = np.where(lungs, lung_hu, 40.0) + np.random.default_rng(7).normal(0.0, noise, lungs.shape)
    return Volume(hu=np.rint(hu).astype(np.int16), affine_lps=np.diag([5.0, 2.0, 2.0, 1.0])), lungs


@pytest.mark.parametrize("noise", [6.0, 25.0, 80.0])
def test_noise_is_measured_in_soft_tissue_and_air_in_the_lungs(noise: float) -> None:
    found = features(*chest(noise))
    assert found["noise_hu"] == pytest.approx(noise, rel=0.06)
    assert found["aerated_hu"] == pytest.approx(-850.0 - 1.645 * noise, abs=3.0)


def test_a_lung_that_is_nearly_white_is_measured_by_the_air_that_is_left() -> None:
    volume, lungs = chest(10.0)
    white = lungs.copy()
    white[:, :42] = False  # the last rows keep their air: a tenth
    hu = np.where(lungs & ~white, 40, volume.hu).astype(np.int16)
    assert features(replace(volume, hu=hu), lungs)["aerated_hu"] < -800


def test_many_slices_say_what_few_say() -> None:
    few, many = features(*chest(20.0)), features(*chest(20.0, slices=150))
    assert many == {name: pytest.approx(value, rel=0.05) for name, value in few.items()}


def test_where_nothing_can_be_measured_nothing_is_said() -> None:
    volume, lungs = chest(10.0)
    assert features(volume, np.zeros_like(lungs)) == {}
    assert "noise_hu" not in features(replace(volume, hu=np.full(lungs.shape, -850, np.int16)), lungs)


def test_undecided_pixels_are_those_with_no_answer() -> None:
    p = np.array([0.0, 0.05, 0.2, 0.5, 0.89, 0.95, 1.0], np.float32)
    assert undecided(p) == 3
    assert undecided(p, p > 0.4) == 2


def test_ranges_hold_every_patient_and_a_margin() -> None:
    found = ranges([{"aerated_hu": -900.0, "undecided": 0.10}, {"aerated_hu": -800.0}, {"undecided": 0.02}])
    assert found["aerated_hu"] == pytest.approx((-900 - 100 * MARGIN, -800 + 100 * MARGIN))
    assert found["undecided"] == pytest.approx((0.0, 0.1 + 0.08 * MARGIN)), "never being in doubt is never strange"
    assert ranges([{"aerated_hu": -900.0}]) == {"aerated_hu": (-950.0, -850.0)}, "one patient is no narrow world"
    assert ranges([{}, {}]) == {}


def test_inside_the_range_nothing_is_strange_and_outside_it_is_named() -> None:
    card = replace(CARD, familiar={"aerated_hu": (-950.0, -750.0), "noise_hu": (0.0, 40.0)})
    assert unfamiliar({"aerated_hu": -750.0, "noise_hu": 0.0}, card) == ()
    (noise,) = unfamiliar({"aerated_hu": -800.0, "noise_hu": 41.0}, card)
    assert noise.words == "noise in soft tissue 41 HU, trained on 0 to 40 HU (net)"
    assert not noise.far
    assert [each.far for each in unfamiliar({"aerated_hu": -749.0, "noise_hu": 95.0}, card)] == [False, True]


@pytest.mark.parametrize(("value", "far"), [(-950 - 200 * FAR + 1, False), (-950 - 200 * FAR - 1, True), (100.0, True)])
def test_far_is_beyond_the_ranges_own_width(value: float, far: bool) -> None:
    card = replace(CARD, familiar={"aerated_hu": (-950.0, -750.0)})
    assert [each.far for each in unfamiliar({"aerated_hu": value}, card)] == [far]


def test_a_card_without_ranges_or_with_unknown_ones_says_nothing() -> None:
    assert unfamiliar({"noise_hu": 1e6}, CARD) == ()
    assert unfamiliar({"noise_hu": 1e6}, replace(CARD, familiar={"sharpness": (0.0, 1.0)})) == ()


def test_ranges_survive_the_card_file_and_older_cards_have_none() -> None:
    card = replace(CARD, familiar={"noise_hu": (0.0, 40.5), "undecided": (0.0, 0.07)})
    assert Card.from_json(card.to_json()) == card
    older = CARD.to_json().replace('"familiar": {},', "")
    assert "familiar" not in older
    assert Card.from_json(older) == CARD
