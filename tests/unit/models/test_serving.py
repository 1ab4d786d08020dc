"""Networks with one task in the role triage: what they say, where, and what they leave unsaid."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.bundle import Bundle, BundleError
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.morphology import eroded
from models.predict import LungMasks
from models.prepare import prepare, thinned
from models.serving import LesionTriage, SeriesTriage
from models.severity import LEFT, RIGHT
from models.slice_pool import SlicePoolNet
from models.tiles import tiles
from tests.unit.models.chest import Chest, Drawn, Ellipsoid, dice, draw

LESION = Ellipsoid(centre=(20, 10, -75), half=(50, 40, 25))
SLICES = InputSpec(kind=Kind.SLICES, pixel_mm=2.0, window_hu=(-1000.0, 300.0), mask=MaskPolicy.CROP, margin_mm=6.0)
VOLUMES = replace(SLICES, kind=Kind.VOLUME)


class Bright(nn.Module):
    """Calls lesion what is denser than -480 HU, slice or volume, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        return 60.0 * (x - 0.4)


class Grey(SlicePoolNet):
    """Scores a series by the mean of its brightest slice, without ResNet-50."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.bins = (1,)
        self.slices = Mean()
        self.series = nn.Identity()


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def card(spec: InputSpec | None, **fields: Any) -> Card:
    known = {"name": "known", "version": "1", "number": 2, "paper": "none", "architecture": "known"}
    return Card(**known | fields, roles=("triage",), outputs=("lesions",), input=spec)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shown() -> Drawn:
    return draw(Chest(dense=((LESION, -400),), trachea=False), noise=2.0, pixel_mm=1.3, slice_mm=9.0)


@pytest.fixture(scope="module")
def lungs(shown: Drawn) -> LungMasks:
    inner = eroded(shown.right | shown.left, 5.0, shown.volume.spacing_mm)  # away from the blurred chest wall
    labels = np.where(inner, np.where(shown.right, RIGHT, LEFT), 0).astype(np.uint8)
    return LungMasks(labels=labels, sides_by_size=False)


@pytest.mark.parametrize("spec", [SLICES, VOLUMES, replace(VOLUMES, tile=(7, 50, 60)), replace(VOLUMES, slice_mm=3.0)])
def test_lesions_lie_where_they_were_seen_and_nothing_else_is_said(
    shown: Drawn, lungs: LungMasks, spec: InputSpec
) -> None:
    network = Bright()
    found = LesionTriage(Bundle(card=card(spec), network=network), "cpu").triage(shown.volume, lungs)
    assert found.lesions is not None
    assert dice(found.lesions, (lungs.labels > 0) & (shown.volume.hu > -600)) > (0.97 if spec.slice_mm is None else 0.9)
    assert not found.lesions[lungs.labels == 0].any()
    assert found.probability is None
    assert found.class_probabilities is None
    largest = spec.tile or prepare(shown.volume, spec, lungs.labels > 0).image.shape
    assert all(given[-2:] <= largest[1:] for given in network.seen)
    assert {len(given) for given in network.seen} == {4 if spec.kind is Kind.SLICES else 5}
    assert spec.tile is None or len(network.seen) > 4


def test_the_threshold_is_the_cards_and_a_network_may_be_read_in_another_way(shown: Drawn, lungs: LungMasks) -> None:
    counts = []
    for level in (0.001, 0.2, 0.9):
        bundle = Bundle(card=card(SLICES, thresholds={"lesion": level}), network=Bright())
        found = LesionTriage(bundle, "cpu").triage(shown.volume, lungs).lesions
        assert found is not None
        counts.append(int(found.sum()))
    assert counts[0] > counts[1] > counts[2] > 0

    def everywhere(network: nn.Module, x: Tensor) -> Tensor:
        return torch.ones_like(x[:, 0])

    whole = LesionTriage(Bundle(card=card(SLICES), network=Bright()), "cpu", everywhere).triage(shown.volume, lungs)
    assert whole.lesions is not None
    np.testing.assert_array_equal(whole.lesions, lungs.labels > 0)


def test_a_series_is_scored_from_at_most_so_many_slices(shown: Drawn, lungs: LungMasks) -> None:
    spec = replace(VOLUMES, depth=8)
    predictor = SeriesTriage(Bundle(card=card(spec), network=Grey()), "cpu")
    found = predictor.triage(shown.volume, lungs)
    image = prepare(shown.volume, spec, lungs.labels > 0).image
    kept = image[thinned(image.shape[0], 8)]
    assert 1 < len(kept) <= 8
    expected = 1.0 / (1.0 + np.exp(-kept.mean(axis=(1, 2)).max()))
    assert found.probability == pytest.approx(expected, abs=1e-5)
    assert found.lesions is None


def test_a_bundle_of_another_network_or_without_input_is_refused() -> None:
    with pytest.raises(BundleError, match="no SlicePoolNet"):
        SeriesTriage(Bundle(card=card(VOLUMES), network=Bright()), "cpu")
    with pytest.raises(BundleError, match="does not say"):
        LesionTriage(Bundle(card=card(None), network=Bright()), "cpu")


@pytest.mark.parametrize(("shape", "largest"), [((10, 20, 31), (4, 20, 7)), ((5, 6, 7), (8, 6, 7)), ((9, 9, 9), None)])
def test_tiles_cover_everything_and_are_no_larger_than_allowed(
    shape: tuple[int, int, int], largest: tuple[int, int, int] | None
) -> None:
    covered = np.zeros(shape, dtype=int)
    for tile in tiles(shape, largest):
        covered[tile] += 1
        assert all(0 <= part.start < part.stop <= n for part, n in zip(tile, shape, strict=True))
        assert largest is None or all(p.stop - p.start <= most for p, most in zip(tile, largest, strict=True))
    assert covered.min() == 1
    if largest is None or all(n <= most for n, most in zip(shape, largest, strict=True)):
        assert covered.max() == 1


def test_neighbouring_tiles_overlap_by_a_quarter() -> None:
    rows = sorted({(tile[1].start, tile[1].stop) for tile in tiles((1, 100, 1), (1, 16, 1))})
    assert all(before[1] - after[0] >= 4 for before, after in pairwise(rows))
    assert (rows[0][0], rows[-1][1]) == (0, 100)
