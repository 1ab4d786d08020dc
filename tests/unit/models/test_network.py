"""Networks in the roles: geometry there and back, thresholds, thinning. The networks here are known functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import network as served
from models.bundle import Bundle, BundleError
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.ct_triage import LungsUNet, MultitaskNet
from models.morphology import eroded
from models.network import NetworkLungs, NetworkTriage
from models.predict import LungMasks
from models.prepare import prepare, thinned
from models.severity import LEFT, RIGHT
from models.volume import Volume
from tests.unit.models.chest import Chest, Drawn, Ellipsoid, dice, draw

LESION = Ellipsoid(centre=(20, 10, -75), half=(50, 40, 25))


class GreyLungs(LungsUNet):
    """Calls lung what is between -960 and -650 HU."""

    def __init__(self) -> None:
        super().__init__(width=1, levels=2)

    def forward(self, x: Tensor) -> Tensor:
        return 60.0 * (0.12 - (x - 0.15).abs())


class BrightLesions(MultitaskNet):
    """Calls lesion what is denser than -480 HU; its score is the mean of the slices that it was given."""

    def __init__(self) -> None:
        super().__init__(width=1, levels=2, pyramid_hidden=1)
        self.backbone = nn.Sequential()
        self.segmentation = nn.Sequential(Steep())
        self.seen = torch.empty(0)

    def identify(self, features: Tensor) -> Tensor:
        self.seen = features
        return features.mean().reshape(1)


class Steep(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 60.0 * (x - 0.4)


def lungs_of(card: Card) -> NetworkLungs:
    return NetworkLungs(Bundle(card=card, network=GreyLungs().eval()), "cpu")


def card(role: str, spec: InputSpec, thresholds: dict[str, float] | None = None) -> Card:
    fields = {"name": "known", "version": "1", "number": 1, "paper": "none", "architecture": "known"}
    return Card(**fields, roles=(role,), outputs=(role,), input=spec, thresholds=thresholds or {})  # type: ignore[arg-type]


SLICES = InputSpec(kind=Kind.SLICES, pixel_mm=2.0, window_hu=(-1000.0, 300.0))
SERIES = InputSpec(
    kind=Kind.VOLUME, pixel_mm=2.0, window_hu=(-1000.0, 300.0), mask=MaskPolicy.CROP, margin_mm=6.0, depth=8
)


@pytest.fixture(scope="module")
def shown() -> Drawn:
    return draw(Chest(dense=((LESION, -400),), trachea=False), noise=2.0, pixel_mm=1.3, slice_mm=9.0)


def test_lungs_return_to_the_grid_they_came_from(shown: Drawn) -> None:
    found = lungs_of(card("lungs", SLICES)).lungs(shown.volume)
    healthy_right = shown.right & (shown.volume.hu < -600)
    assert dice(found.labels == RIGHT, healthy_right) > 0.97
    assert dice(found.labels == LEFT, shown.left) > 0.97
    assert not found.sides_by_size


def test_sides_follow_the_patient_and_not_the_array(shown: Drawn) -> None:
    v = shown.volume
    turned = v.affine_lps @ np.diag([-1.0, 1.0, -1.0, 1.0])
    turned[:3, 3] = (v.affine_lps @ [v.shape[0] - 1, 0, v.shape[2] - 1, 1])[:3]
    flipped = Volume(hu=np.ascontiguousarray(v.hu[::-1, :, ::-1]), affine_lps=turned)
    found = lungs_of(card("lungs", SLICES)).lungs(flipped)
    assert dice(found.labels[::-1, :, ::-1] == LEFT, shown.left) > 0.97


def test_slices_in_one_batch_or_in_many_are_the_same(shown: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    once = lungs_of(card("lungs", SLICES)).lungs(shown.volume)
    monkeypatch.setattr(served, "BATCH_PIXELS", 1)
    np.testing.assert_array_equal(lungs_of(card("lungs", SLICES)).lungs(shown.volume).labels, once.labels)


def test_a_fragment_is_not_a_lung_and_nothing_is_nothing() -> None:
    speck = Chest(right=None, left=None, trachea=False, dense=((Ellipsoid(centre=(0, 0, 0), half=(8, 8, 8)), -850),))
    drawn = draw(speck, noise=0.0, pixel_mm=2.0)  # no resampling: a blurred skin would look like lung
    assert (drawn.volume.hu == -850).any()
    assert not lungs_of(card("lungs", SLICES)).lungs(drawn.volume).labels.any()


def triage_of(card: Card) -> tuple[NetworkTriage, BrightLesions]:
    network = BrightLesions().eval()
    return NetworkTriage(Bundle(card=card, network=network), "cpu"), network


def test_lesions_lie_where_they_were_seen_and_inside_the_lungs(shown: Drawn) -> None:
    inner = eroded(shown.right | shown.left, 5.0, shown.volume.spacing_mm)  # away from the blurred chest wall
    labels = np.where(inner, np.where(shown.right, RIGHT, LEFT), 0).astype(np.uint8)
    predictor, network = triage_of(card("triage", SERIES))
    found = predictor.triage(shown.volume, LungMasks(labels=labels, sides_by_size=False))
    assert found.lesions is not None
    assert dice(found.lesions, inner & (shown.volume.hu > -600)) > 0.97
    assert not found.lesions[labels == 0].any()
    # the score: of at most 8 slices of the crop
    image = prepare(shown.volume, SERIES, labels > 0).image
    assert network.seen.shape[0] == len(thinned(image.shape[0], 8)) <= 8
    expected = 1.0 / (1.0 + np.exp(-image[thinned(image.shape[0], 8)].mean()))
    assert found.probability == pytest.approx(expected, abs=1e-5)
    assert found.class_probabilities is None


def test_the_cards_threshold_is_the_one_in_force(shown: Drawn) -> None:
    lungs = LungMasks(labels=(shown.right | shown.left).astype(np.uint8), sides_by_size=False)
    counts = []
    for level in (0.001, 0.2, 0.9):
        found = triage_of(card("triage", SERIES, {"lesion": level}))[0].triage(shown.volume, lungs).lesions
        assert found is not None
        counts.append(int(found.sum()))
    assert counts[0] > counts[1] > counts[2] > 0
    default = triage_of(card("triage", SERIES))[0].triage(shown.volume, lungs).lesions
    assert default is not None
    assert int(default.sum()) == counts[1]


def test_a_margin_widens_the_crop_in_plane_only(shown: Drawn) -> None:
    mask = np.zeros(shown.volume.shape, dtype=np.bool_)
    mask[5:20, 60:180, 2:150] = True
    tight, wide = (prepare(shown.volume, replace(SERIES, margin_mm=mm), mask) for mm in (0.0, 6.0))
    assert wide.box[0] == tight.box[0] == (5, 20)
    assert wide.box[1] == (tight.box[1][0] - 3, tight.box[1][1] + 3)
    assert wide.box[2] == (0, tight.box[2][1] + 3)  # stops at the edge


@pytest.mark.parametrize("slices", [1, 7, 8, 9, 31, 100, 700])
def test_thinning_is_even_and_keeps_the_limit(slices: int) -> None:
    kept = thinned(slices, 8)
    assert 0 < len(kept) <= 8
    assert len(set(np.diff(kept))) <= 1
    assert abs(int(kept[0]) - (slices - 1 - int(kept[-1]))) <= 1
    assert len(thinned(slices, None)) == slices


def test_a_card_keeps_the_whole_specification() -> None:
    kept = card("triage", SERIES)
    assert Card.from_json(kept.to_json()) == kept


def test_a_bundle_of_another_network_or_without_input_is_refused() -> None:
    with pytest.raises(BundleError, match="no LungsUNet"):
        NetworkLungs(Bundle(card=card("lungs", SLICES), network=BrightLesions()), "cpu")
    with pytest.raises(BundleError, match="does not say"):
        NetworkTriage(Bundle(card=replace(card("triage", SERIES), input=None), network=BrightLesions()), "cpu")
