"""DeepSC-COVID and what it compares with: places, stitches, evidence, pruning, supports, and its role."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.bundle import Bundle, BundleError
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.deepsc import DeepSC, cut, pasted
from models.deepsc_triage import TASK, DeepScTriage, overview, place_of, side_by_side
from models.morphology import eroded
from models.predict import LungMasks
from models.severity import LEFT, RIGHT
from models.unetpp import UNetPlusPlus, pruned
from models.volume_triage import DIAGNOSES
from tests.unit.models.chest import Chest, Drawn, Ellipsoid, dice, draw

PLACES = torch.tensor([[[0.5, 1.0], [0.0, 0.5], [0.25, 0.75]]])


def test_what_is_pasted_can_be_cut_out_again_and_nothing_lies_beside_it() -> None:
    patch = torch.rand(1, 2, 5, 10, 16) + 1.0
    whole = pasted(patch, PLACES, (10, 20, 32))
    assert torch.equal(whole[:, :, 5:, :10, 8:24], patch)
    assert int((whole != 0).sum()) == patch.numel()
    assert torch.equal(cut(whole, PLACES, (5, 10, 16)), patch)


def test_a_coarser_grid_takes_the_nearest_cells() -> None:
    patch = torch.arange(8.0).reshape(1, 1, 1, 1, 8)
    place = torch.tensor([[[0.0, 1.0], [0.0, 1.0], [0.5, 1.0]]])
    assert pasted(patch, place, (1, 1, 8)).flatten().tolist() == [0, 0, 0, 0, 1, 3, 5, 7]
    assert cut(patch, place, (1, 1, 8)).flatten().tolist() == [4, 4, 5, 5, 6, 6, 7, 7]


def test_a_patch_that_reaches_beyond_its_scan_sees_nothing_there() -> None:
    beyond = torch.tensor([[[0.5, 1.5], [0.0, 1.0], [0.0, 1.0]]])
    seen = cut(torch.ones(1, 1, 4, 2, 2), beyond, (4, 2, 2))
    assert seen[0, 0, :, 0, 0].tolist() == [1, 1, 0, 0]
    assert pasted(torch.ones(1, 1, 4, 2, 2), beyond, (4, 2, 2))[0, 0, :, 0, 0].tolist() == [0, 0, 1, 1]


@pytest.fixture(scope="module")
def joint() -> DeepSC:
    torch.manual_seed(4)
    return DeepSC().eval()


@pytest.fixture(scope="module")
def shown_twice() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    patch, scan = torch.rand(1, 1, 8, 16, 16, generator=generator), torch.rand(1, 1, 16, 32, 32, generator=generator)
    return patch, scan, PLACES


@torch.inference_mode()
def test_stitches_carry_one_task_to_the_other(joint: DeepSC, shown_twice: tuple[Tensor, Tensor, Tensor]) -> None:
    patch, scan, places = shown_twice
    both = joint(patch, scan, places)
    assert not torch.equal(both.lesions, joint(patch, scan.flip(4), places).lesions)
    assert not torch.equal(both.classes, joint(patch.flip(4), scan, places).classes)
    assert not torch.equal(both.classes, joint(patch, scan, places.flip(1)).classes)
    apart = joint(patch, scan, apart=True)
    assert torch.equal(apart.lesions, joint(patch, scan.flip(4), apart=True).lesions)
    assert torch.equal(apart.classes, joint(patch.flip(4), scan, apart=True).classes)
    unstitched = DeepSC(cross_stitch=False)
    unstitched.load_state_dict({n: t for n, t in joint.state_dict().items() if n != "stitches"})
    assert torch.equal(unstitched.eval()(patch, scan, places).lesions, apart.lesions)


@torch.inference_mode()
def test_evidence_adds_up_to_the_logit(joint: DeepSC, shown_twice: tuple[Tensor, Tensor, Tensor]) -> None:
    said = joint(*shown_twice)
    for chosen in range(3):
        maps = joint.evidence(said.encoded, torch.tensor([chosen]))
        assert [m.shape for m in maps] == [(1, 1, 4, 8, 8), (1, 1, 2, 4, 4), (1, 1, 1, 2, 2)]
        total = sum(float(m.mean()) for m in maps) + float(joint.class_net.classify.bias[chosen])
        assert total == pytest.approx(float(said.classes[0, chosen]), abs=1e-5)


@torch.inference_mode()
def test_a_scan_with_one_patch_is_read_as_it_is_learned(
    joint: DeepSC, shown_twice: tuple[Tensor, Tensor, Tensor]
) -> None:
    patch, scan, places = shown_twice
    learned, read = joint(patch, scan, places), joint.read(scan, [(patch, places)])
    assert torch.allclose(read.lesions[0], torch.sigmoid(learned.lesions), atol=1e-6)
    assert read.classes is not None
    assert torch.allclose(read.classes, learned.classes, atol=1e-5)


def test_a_network_says_what_it_cannot_take(shown_twice: tuple[Tensor, Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match="needs patches"):
        DeepSC("lesions")(None, shown_twice[1])
    with pytest.raises(ValueError, match="multiple of 8"):
        DeepSC("lesions")(torch.rand(1, 1, 12, 16, 16), None)
    with pytest.raises(ValueError, match="3 channels"):
        DeepSC(channels=3)


def test_an_overview_picks_slices_and_shrinks_planes() -> None:
    image = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 20, 30), dtype=np.float32)
    found = overview(image, (4, 10, 15))
    assert found.shape == (1, 1, 4, 10, 15)
    assert found[0, 0, :, 3, 4].tolist() == [0, 2, 4, 6]  # floor(9 / 4 i)


def test_patches_cover_a_scan_once() -> None:
    shape = (10, 20, 31)
    covered = np.zeros((12, 24, 32), dtype=int)
    boxes = side_by_side(shape, (4, 8, 16))
    for (a, b), (c, d), (e, f) in boxes:
        covered[a:b, c:d, e:f] += 1
    assert (covered == 1).all()
    assert place_of(boxes[-1], shape).flatten().tolist() == pytest.approx([0.8, 1.2, 0.8, 1.2, 16 / 31, 32 / 31])


class Known(DeepSC):
    """Calls lesion what is denser than -480 HU, patch by patch."""

    def __init__(self) -> None:
        super().__init__("lesions")
        self.lesion_stem = nn.Sequential()
        self.lesion_net = Steep()  # type: ignore[assignment]


class Steep(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return 60.0 * (x - 0.575), ()


SPEC = InputSpec(
    kind=Kind.VOLUME,
    pixel_mm=2.0,
    window_hu=(-1400.0, 200.0),
    mask=MaskPolicy.ZERO,
    tile=(8, 56, 72),
    overview=(8, 32, 32),
)


def card(spec: InputSpec | None = SPEC) -> Card:
    return Card(
        name="known",
        version="1",
        number=18,
        paper="none",
        roles=("triage",),
        outputs=("lesions",),
        input=spec,
        classes={TASK: DIAGNOSES},
    )


@pytest.fixture(scope="module")
def shown() -> Drawn:
    lesion = Ellipsoid(centre=(20, 10, -75), half=(50, 40, 25))
    return draw(Chest(dense=((lesion, -400),), trachea=False), noise=2.0, pixel_mm=1.3, slice_mm=9.0)


@pytest.fixture(scope="module")
def lungs(shown: Drawn) -> LungMasks:
    inner = eroded(shown.right | shown.left, 5.0, shown.volume.spacing_mm)  # away from the blurred chest wall
    labels = np.where(inner, np.where(shown.right, RIGHT, LEFT), 0).astype(np.uint8)
    return LungMasks(labels=labels, sides_by_size=False)


def test_every_patch_returns_to_its_place(shown: Drawn, lungs: LungMasks) -> None:
    found = DeepScTriage(Bundle(card=card(), network=Known()), "cpu").triage(shown.volume, lungs)
    assert found.lesions is not None
    assert dice(found.lesions, (lungs.labels > 0) & (shown.volume.hu > -600)) > 0.97
    assert (found.probability, found.class_probabilities) == (None, None)


def test_a_diagnosis_alone_gives_three_probabilities(shown: Drawn, lungs: LungMasks) -> None:
    network = DeepSC("diagnosis").eval()
    found = DeepScTriage(Bundle(card=card(), network=network), "cpu").triage(shown.volume, lungs)
    assert found.lesions is None
    assert found.class_probabilities is not None
    assert list(found.class_probabilities) == list(DIAGNOSES)
    assert sum(found.class_probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert found.probability == found.class_probabilities["COVID-19"]


def test_a_bundle_without_what_it_needs_is_refused() -> None:
    with pytest.raises(BundleError, match="tile and overview"):
        DeepScTriage(Bundle(card=card(replace(SPEC, overview=None)), network=Known()), "cpu")
    with pytest.raises(BundleError, match="answers for the classes"):
        DeepScTriage(Bundle(card=replace(card(), classes={}), network=DeepSC("diagnosis")), "cpu")
    with pytest.raises(BundleError, match="no DeepSC"):
        DeepScTriage(Bundle(card=card(), network=nn.Identity()), "cpu")


@torch.inference_mode()
def test_a_pruned_network_answers_as_the_head_it_keeps() -> None:
    torch.manual_seed(3)
    trained = UNetPlusPlus(depth=3, deep_supervision=True).eval()
    x = torch.rand(2, 1, 20, 31)
    for depth in (1, 3):
        small = pruned(trained, depth)
        assert not small.training
        wider = torch.zeros(2, 1, 24, 32)  # all depths see the same padding
        wider[..., :20, :31] = x
        assert torch.allclose(small(wider), trained(wider)[:, depth - 1 : depth], atol=1e-6)
    with pytest.raises(ValueError, match="no head of depth 2"):
        pruned(pruned(trained, 3), 2)


@torch.inference_mode()
def test_a_few_shot_network_answers_by_the_mean_of_its_supports() -> None:
    pytest.importorskip("monai")
    from models.fss import FewShotNet, Smoothing

    torch.manual_seed(5)
    network = FewShotNet(supports=2, plane=(40, 52)).eval()
    network.support_images.uniform_()
    network.support_masks[:, :, 10:20, 8:30] = 1.0
    x = torch.rand(1, 1, 40, 52)
    each = [
        torch.sigmoid(network(x, network.support_images[n : n + 1], network.support_masks[n : n + 1])) for n in (0, 1)
    ]
    assert not torch.equal(each[0], each[1])
    assert torch.allclose(network.answer(x), (each[0] + each[1]) / 2, atol=1e-6)
    assert torch.equal(Smoothing()(x), x)
