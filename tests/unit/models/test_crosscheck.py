"""Two lung methods on one study: what is a difference, and which of them is believed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.crosscheck import CONFIRMED_LEAST, MISSED_FAILED, MISSED_USUAL, Verdict, compare
from models.severity import LEFT, RIGHT

SHAPE = (10, 20, 31)
AIR, WHITE = -850, 30
VOXEL_ML = 1.0  # so that a side of 1000 voxels is a litre


def both() -> NDArray[np.uint8]:
    """Right and left, 10 x 10 x 10 voxels each."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 5:15, 3:13], labels[:, 5:15, 17:27] = RIGHT, LEFT
    return labels


def without(share: float, side: int) -> NDArray[np.uint8]:
    """Without the first `share` of one side, slice by slice."""
    labels = both()
    lost = np.flatnonzero(labels == side)[: round(1000 * share)]
    labels.ravel()[lost] = 0
    return labels


def hu(value: int = AIR) -> NDArray[np.int16]:
    return np.full(SHAPE, value, np.int16)


def test_methods_that_agree_have_nothing_to_say() -> None:
    found = compare(hu(), both(), both(), VOXEL_ML)
    assert (found.verdict, found.words) == (Verdict.AGREE, "")


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_air_that_the_network_leaves_out_counts_against_it(side: int) -> None:
    name = "right" if side == RIGHT else "left"
    little = compare(hu(), without(MISSED_USUAL - 0.01, side), both(), VOXEL_ML)
    some = compare(hu(), without(MISSED_USUAL + 0.01, side), both(), VOXEL_ML)
    much = compare(hu(), without(MISSED_FAILED + 0.01, side), both(), VOXEL_ML)
    assert [found.verdict for found in (little, some, much)] == [Verdict.AGREE, Verdict.DISAGREE, Verdict.FAILED]
    assert some.words == f"the learned lungs leave out 11 % of the aerated {name} lung that the classical method finds"


def test_what_is_dense_in_the_classical_lungs_is_not_held_against_the_network() -> None:
    """Their closing takes in hilum and chest wall."""
    image = hu()
    image[without(0.4, LEFT) != both()] = WHITE
    assert compare(image, without(0.4, LEFT), both(), VOXEL_ML).verdict is Verdict.AGREE


def test_a_white_lung_that_only_the_network_sees_stands_with_a_remark() -> None:
    image = hu()
    image[without(0.9, RIGHT) != both()] = WHITE
    found = compare(image, both(), without(0.9, RIGHT), VOXEL_ML)
    assert found.verdict is Verdict.DISAGREE
    assert found.words.startswith("90 % of the learned right lung is none by the classical method")


def test_an_aerated_lung_that_the_classical_method_lost_is_kept() -> None:
    assert compare(hu(), both(), without(1.0, LEFT), VOXEL_ML).verdict is Verdict.DISAGREE


def test_a_network_that_finds_nothing_has_failed_only_where_there_is_something() -> None:
    none = np.zeros(SHAPE, np.uint8)
    assert compare(hu(), none, both(), VOXEL_ML).verdict is Verdict.FAILED
    assert compare(hu(), none, both(), VOXEL_ML).words
    assert compare(hu(), none, none, VOXEL_ML).verdict is Verdict.AGREE


def test_lungs_without_any_confirmed_air_are_not_believed() -> None:
    shares = (CONFIRMED_LEAST - 0.01, CONFIRMED_LEAST + 0.01)
    kept = [
        np.where(without(1.0 - share, RIGHT) == RIGHT, RIGHT, 0).astype(np.uint8) for share in (s * 2 for s in shares)
    ]
    found = [compare(hu(WHITE), both(), labels, VOXEL_ML).verdict for labels in kept]
    assert found == [Verdict.UNCONFIRMED, Verdict.DISAGREE]


def test_a_few_millilitres_of_a_lost_lung_fail_no_network() -> None:
    """What is left of a white lung may be bronchi; the network may leave them out."""
    remains = without(0.96, RIGHT)
    learned = remains.copy()
    learned[learned == RIGHT] = 0
    assert compare(hu(), learned, remains, VOXEL_ML).verdict is Verdict.AGREE


def test_a_voxel_on_the_other_side_is_no_difference() -> None:
    shifted = both()
    shifted[:, :, 12:13][shifted[:, :, 12:13] == RIGHT] = LEFT
    assert compare(hu(), shifted, both(), VOXEL_ML).verdict is Verdict.AGREE
