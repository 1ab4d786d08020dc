"""Networks that see slices one by one: planes there and back, slices to a study, lungs in a frame of the body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.bundle import Bundle, BundleError
from models.cards import Card
from models.case import Aggregator, InputSpec, Kind, MaskPolicy
from models.class_triage import MaskedTriage, StackTriage
from models.morphology import eroded
from models.predict import LungMasks
from models.prepare import prepare, restore
from models.severity import LEFT, RIGHT
from models.slicewise import Reading, SliceLungs, SliceTriage, aggregated, classes, one_score, three_tasks, with_lung
from models.volume import Volume
from models.volume_triage import DIAGNOSES
from tests.unit.models.chest import Chest, Drawn, Ellipsoid, dice, draw

LESION = Ellipsoid(centre=(20, 10, -75), half=(50, 40, 25))
WINDOW = (-1000.0, 300.0)
PLANE = InputSpec(
    kind=Kind.SLICES, pixel_mm=None, window_hu=WINDOW, plane=(128, 96), aggregator=Aggregator.MAXIMUM, depth=6
)


@pytest.fixture(scope="module")
def shown() -> Drawn:
    return draw(Chest(dense=((LESION, -400),), trachea=False), noise=2.0, pixel_mm=2.5, slice_mm=15.0)


@pytest.fixture(scope="module")
def lungs(shown: Drawn) -> LungMasks:
    labels = np.where(shown.right, np.uint8(RIGHT), np.where(shown.left, np.uint8(LEFT), np.uint8(0)))
    return LungMasks(labels=labels, sides_by_size=False)


def card(spec: InputSpec | None, **fields: Any) -> Card:
    known = {"name": "known", "version": "1", "number": 14, "paper": "none", "architecture": "known"}
    known |= {"roles": ("triage",), "outputs": ("lesions", "probability"), "input": spec}
    return Card(**known | fields)


class Bright(nn.Module):
    """Scores a slice by its mean, and as classes; remembers how many it saw."""

    def __init__(self, classes: int = 0) -> None:
        super().__init__()
        self.classes, self.seen = classes, 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        mean = x.mean(dim=(1, 2, 3))
        return mean if self.classes == 0 else torch.stack([mean, *([torch.zeros_like(mean)] * (self.classes - 1))], 1)


def both(network: nn.Module, x: Tensor) -> Reading:
    """Lesion is what is denser than -480 HU."""
    return Reading(lesions=(x[:, 0] > 0.4).float(), scores=torch.sigmoid(network(x)))


@pytest.mark.parametrize("policy", list(MaskPolicy))
def test_a_plane_is_filled_and_a_mask_comes_back_from_it(policy: MaskPolicy, shown: Drawn, lungs: LungMasks) -> None:
    inside = lungs.labels > 0
    case = prepare(shown.volume, replace(PLANE, mask=policy, margin_mm=5.0), inside)
    assert case.image.shape[1:] == (128, 96)
    assert case.lungs is not None
    assert dice(restore(case.lungs, case), inside) > 0.97
    if policy is MaskPolicy.CROP:  # what is cropped fills the plane, up to the margin of 5 mm
        rows, columns = (np.flatnonzero(case.lungs.any(axis=axes)) for axes in ((0, 2), (0, 1)))
        assert rows[0] <= 6
        assert rows[-1] >= 121
        assert columns[0] <= 4
        assert columns[-1] >= 91
    if policy is MaskPolicy.BODY:  # the table lies outside the box of the body
        assert case.image.shape[1] < case.grid_shape[1]


def test_each_slice_has_its_own_range(shown: Drawn) -> None:
    image = prepare(shown.volume, replace(PLANE, per_slice=True)).image
    assert image.min(axis=(1, 2)).tolist() == [0.0] * len(image)
    assert image.max(axis=(1, 2)).tolist() == [1.0] * len(image)
    flat = Volume(hu=np.full((2, 9, 9), -700, dtype=np.int16), affine_lps=np.eye(4))
    assert not prepare(flat, replace(PLANE, per_slice=True)).image.any()


def test_a_specification_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="plane leaves nothing"):
        replace(PLANE, pixel_mm=2.0)
    with pytest.raises(ValueError, match="body needs a plane"):
        replace(PLANE, plane=None, mask=MaskPolicy.BODY)


def test_the_card_keeps_plane_and_aggregator() -> None:
    kept = card(replace(PLANE, per_slice=True), classes={"diagnosis": DIAGNOSES})
    assert Card.from_json(kept.to_json()) == kept


def test_scores_of_slices_become_that_of_a_study() -> None:
    scores = np.arange(20, dtype=np.float32)
    assert aggregated(scores, Aggregator.MEAN).tolist() == [9.5]
    assert aggregated(scores, Aggregator.MAXIMUM).tolist() == [19.0]
    assert aggregated(scores, Aggregator.TOP_TENTH).tolist() == [18.5]
    assert aggregated(scores[:3], Aggregator.TOP_TENTH).tolist() == [2.0]
    table = np.array([[0.1, 0.9], [0.6, 0.4], [0.3, 0.7]], dtype=np.float32)
    assert aggregated(table, Aggregator.MAXIMUM).tolist() == pytest.approx([0.6, 0.4])
    assert aggregated(table, Aggregator.MEAN).tolist() == pytest.approx([1 / 3, 2 / 3])


def test_slices_without_lung_are_not_scored(shown: Drawn, lungs: LungMasks) -> None:
    case = prepare(shown.volume, PLANE, lungs.labels > 0)
    read = with_lung(case)
    assert case.lungs is not None
    assert case.lungs[read].any(axis=(1, 2)).all()
    assert 0 < len(with_lung(case, 6)) <= 6 < len(read) < len(case.image)
    with pytest.raises(ValueError, match="no slice shows lung"):
        with_lung(prepare(shown.volume, PLANE))


def test_lesions_lie_where_they_were_seen_and_the_score_is_of_the_slices_that_were_chosen(
    shown: Drawn, lungs: LungMasks
) -> None:
    inner = eroded(lungs.labels > 0, 6.0, shown.volume.spacing_mm)  # away from the blurred chest wall
    masks = replace(lungs, labels=np.where(inner, lungs.labels, 0).astype(np.uint8))
    network = Bright().eval()
    found = SliceTriage(Bundle(card=card(PLANE), network=network), "cpu", both).triage(shown.volume, masks)
    assert found.lesions is not None
    assert dice(found.lesions, inner & (shown.volume.hu > -600)) > 0.93
    assert not found.lesions[~inner].any()
    assert network.seen == int(inner.any(axis=(1, 2)).sum())
    case = prepare(shown.volume, PLANE, inner)
    highest = case.image[with_lung(case, 6)].mean(axis=(1, 2)).max()
    assert found.probability == pytest.approx(1.0 / (1.0 + np.exp(-highest)), abs=1e-5)
    assert found.class_probabilities is None


def test_a_classifier_sees_only_the_slices_that_are_scored(shown: Drawn, lungs: LungMasks) -> None:
    network = Bright(classes=3).eval()
    said = card(PLANE, outputs=("probability", "class_probabilities"), classes={"diagnosis": DIAGNOSES})
    found = SliceTriage(Bundle(card=said, network=network), "cpu", classes).triage(shown.volume, lungs)
    assert network.seen <= 6
    assert found.lesions is None
    assert found.class_probabilities is not None
    assert list(found.class_probabilities) == list(DIAGNOSES)
    assert sum(found.class_probabilities.values()) == pytest.approx(1.0)
    assert found.probability == found.class_probabilities["COVID-19"]


def test_what_a_card_leaves_out_is_not_guessed(shown: Drawn, lungs: LungMasks) -> None:
    def triage(said: Card, network: nn.Module) -> None:
        read = one_score if isinstance(network, Bright) and network.classes == 0 else classes
        SliceTriage(Bundle(card=said, network=network.eval()), "cpu", read).triage(shown.volume, lungs)

    outputs = {"outputs": ("probability",)}
    with pytest.raises(BundleError, match="how slices become a study"):
        triage(card(replace(PLANE, aggregator=None), **outputs), Bright())
    with pytest.raises(BundleError, match="3 answers"):
        triage(card(PLANE, **outputs), Bright(classes=3))
    nothing = replace(lungs, labels=np.zeros_like(lungs.labels))
    blind = SliceTriage(Bundle(card=card(PLANE), network=Bright()), "cpu", both)
    with pytest.raises(ValueError, match="there are none"):
        blind.triage(shown.volume, nothing)


@pytest.mark.parametrize(("tasks", "says"), [("T1T2", (True, False)), ("T1T3", (False, True)), ("T2T3", (True, True))])
def test_a_subset_of_tasks_says_what_it_can(tasks: str, says: tuple[bool, bool]) -> None:
    from models.reconstruction import ThreeTaskNet

    network = ThreeTaskNet(tasks, plane=32, width=2).eval()
    x = torch.rand(2, 1, 32, 32)
    found, whole = three_tasks(network, x), network(x)
    assert (found.lesions is not None, found.scores is not None) == says
    if found.scores is not None:
        torch.testing.assert_close(found.scores, torch.sigmoid(whole["covid"]))
    if found.lesions is not None:
        torch.testing.assert_close(found.lesions, torch.sigmoid(whole["lesions"])[:, 0])


class Dark(nn.Module):
    """Calls lung what is between -930 and -650 HU, as logits of background, right and left."""

    def forward(self, x: Tensor) -> Tensor:
        lung = torch.where((x > 0.06) & (x < 0.23), 30.0, -30.0)
        return torch.cat([-lung, lung, torch.full_like(lung, -60.0)], dim=1)


@pytest.mark.parametrize("policy", [MaskPolicy.BODY, MaskPolicy.NONE])
def test_lungs_return_from_a_frame_of_each_slice(policy: MaskPolicy, shown: Drawn) -> None:
    spec = InputSpec(kind=Kind.SLICES, pixel_mm=None, window_hu=(-1024.0, 600.0), mask=policy, plane=(160, 192))
    lungs_card = card(spec, roles=("lungs",), outputs=("lungs",))
    found = SliceLungs(Bundle(card=lungs_card, network=Dark().eval()), "cpu").lungs(shown.volume)
    healthy = shown.volume.hu < -600
    assert dice(found.labels == RIGHT, shown.right & healthy) > 0.95
    assert dice(found.labels == LEFT, shown.left & healthy) > 0.95
    assert not found.sides_by_size


class Remembers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Mapping[str, Any] = {}

    def forward(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        self.seen = {"x": x, "sizes": sizes}
        return torch.tensor([[0.0, 1.0, 2.0]])


def test_classifiers_of_scans_are_given_what_they_read(shown: Drawn, lungs: LungMasks) -> None:
    said = partial(card, outputs=("probability", "class_probabilities"), classes={"diagnosis": DIAGNOSES})
    stack, masked = Remembers(), Remembers()
    spec = replace(PLANE, kind=Kind.VOLUME, mask=MaskPolicy.ZERO, aggregator=None)
    found = StackTriage(Bundle(card=said(spec), network=stack), "cpu").triage(shown.volume, lungs)
    slices, channels, *plane = stack.seen["x"].shape
    assert (channels, plane) == (1, [128, 96])
    assert stack.seen["sizes"].tolist() == [[slices, 128, 96]]
    assert slices <= 6
    assert found.class_probabilities is not None
    assert found.probability == found.class_probabilities["COVID-19"] == pytest.approx(np.exp(-2) / 1.5032, abs=1e-4)
    spec = replace(spec, mask=MaskPolicy.CROP, slice_mm=5.0)
    MaskedTriage(Bundle(card=said(spec), network=masked), "cpu").triage(shown.volume, lungs)
    case = prepare(shown.volume, spec, lungs.labels > 0)
    assert masked.seen["x"].shape == (1, 2, *case.image.shape)
    assert np.array_equal(masked.seen["x"][0, 1].numpy() > 0, case.lungs)
