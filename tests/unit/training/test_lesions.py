"""CT triage's one-task networks (2 to 5): what they are shown, and the numbers of the paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.case import InputSpec, Kind, MaskPolicy
from tests.unit.training.small_patients import written
from training.augment import Augmentation
from training.datasets.fixed import DRAWS, OneBatch
from training.datasets.lesions import LesionBoxes, LesionSlices
from training.datasets.stored import DataError, open_libraries
from training.lesions import likely
from training.train import prepared

SPEC = InputSpec(kind=Kind.SLICES, pixel_mm=2.0, window_hu=(-1000.0, 300.0), mask=MaskPolicy.CROP, margin_mm=4.0)
LESION = (-300 + 1000) / 1300  # of the tiny patients, in the window


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("data"))


def slices(
    folder: Path, spec: InputSpec = SPEC, shares: dict[str, float] | None = None, plane: int = 0
) -> LesionSlices:
    train, held_out = open_libraries(folder)
    shares = {"covid": 1.0} if shares is None else shares
    return LesionSlices(train=train, held_out=held_out, spec=spec, shares=shares, slices=12, plane=plane)


def boxes(folder: Path, size: tuple[int, int, int]) -> LesionBoxes:
    train, held_out = open_libraries(folder)
    spec = replace(SPEC, kind=Kind.VOLUME)
    return LesionBoxes(train=train, held_out=held_out, spec=spec, shares={"covid": 1.0}, boxes=30, size=size)


def test_slices_come_with_their_lesions_and_padding_says_nothing(folder: Path) -> None:
    batch = slices(folder).batch(np.random.default_rng(1))
    image, lesions = batch["image"], batch["lesions"]
    assert image.shape == lesions.shape
    assert image.shape[:2] == (12, 1)
    silent = torch.isnan(lesions)
    assert silent.any()  # no two crops are alike
    assert not image[silent].any()
    assert (lesions == 1.0).any()
    assert image[lesions == 1.0].mean() == pytest.approx(LESION, abs=0.01)


def test_who_is_shown_follows_the_shares(folder: Path) -> None:
    healthy = slices(folder, shares={"normal": 0.5, "other": 0.5}).batch(np.random.default_rng(2))
    assert not (healthy["lesions"] == 1.0).any()
    with pytest.raises(DataError, match="no patient is of the kinds nobody"):
        slices(folder, shares={"nobody": 1.0}).batch(np.random.default_rng(2))


def test_slices_at_other_pixels_keep_lesions_where_they_are(folder: Path) -> None:
    batch = slices(folder, replace(SPEC, pixel_mm=3.0), plane=32).batch(np.random.default_rng(3))
    assert batch["image"].shape == (12, 1, 32, 32)
    assert set(batch["lesions"].unique().tolist()) == {0.0, 1.0}
    assert batch["image"][batch["lesions"] == 1.0].mean() == pytest.approx(LESION, abs=0.1)  # edges are blurred


def test_half_of_the_boxes_lie_about_a_lesion(folder: Path) -> None:
    batch = boxes(folder, (3, 12, 12)).batch(np.random.default_rng(4))
    assert batch["image"].shape == batch["lesions"].shape == (30, 1, 3, 12, 12)
    middle = (batch["lesions"][:, 0, 1, 5:7, 5:7] == 1.0).flatten(1).any(dim=1)
    assert 8 <= int(middle.sum()) <= 27
    assert batch["image"][batch["lesions"] == 1.0].mean() == pytest.approx(LESION, abs=0.01)


def test_a_box_larger_than_the_lungs_is_padded_and_the_padding_says_nothing(folder: Path) -> None:
    batch = boxes(folder, (16, 64, 64)).batch(np.random.default_rng(5))
    assert batch["image"].shape == (30, 1, 16, 64, 64)
    silent = torch.isnan(batch["lesions"])
    assert silent.any()
    assert not batch["image"][silent].any()


def test_a_batch_depends_on_its_generator_alone(folder: Path) -> None:
    train, held_out = open_libraries(folder)
    of = LesionSlices(
        train=train,
        held_out=held_out,
        spec=SPEC,
        augmentation=Augmentation(),
        shares={"covid": 1.0},
        slices=3,
        plane=40,
    )
    first, again, other = (of.batch(np.random.default_rng(seed))["image"] for seed in (6, 6, 7))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    by_heart = OneBatch(of=of, seed=6)
    assert all(torch.equal(by_heart.batch(np.random.default_rng(seed))["image"], first) for seed in (1, 2))
    richest = OneBatch(of=of, seed=6, richest=True).batch(np.random.default_rng(3))
    shown = [float(of.batch(np.random.default_rng(6 + n))["lesions"].mean()) for n in range(DRAWS)]
    assert len(set(shown)) > 1
    assert float(richest["lesions"].mean()) == max(shown)
    assert by_heart.digest == of.digest


def test_a_patient_is_validated_alike_by_slices_and_whole() -> None:
    torch.manual_seed(8)
    plane, volume = torch.nn.Conv2d(1, 1, 1), torch.nn.Conv3d(1, 1, 1)
    volume.weight.data[:, :, 0] = plane.weight.data
    volume.bias = plane.bias
    image = torch.rand(20, 1, 10, 31)
    with torch.inference_mode():
        torch.testing.assert_close(likely(plane, image), likely(volume, image))


@pytest.mark.parametrize("name", ["lesion-unet", "lesion-unet-plus", "lesion-unet-3d"])
def test_dice_stands_beside_the_cross_entropy_where_the_training_is_short(name: str) -> None:
    batch = {"image": torch.zeros(2, 1, 4, 4), "lesions": torch.ones(2, 1, 4, 4)}
    terms = {scale: prepared(name, scale)[0].stages[0].loss(torch.nn.Identity(), batch) for scale in ("paper", "small")}
    assert set(terms["paper"]) == {"lesion cross-entropy"}
    assert set(terms["small"]) == {"lesion cross-entropy", "lesion Dice"}
    assert float(terms["paper"]["lesion cross-entropy"]) == pytest.approx(np.log(2.0))


def test_the_papers_scales_have_the_papers_numbers() -> None:
    for name in ("lesion-unet", "lesion-unet-plus"):
        recipe, plan = prepared(name, "paper")
        assert (plan["steps"], plan["slices"], plan["lr"], plan["augment"]) == (30_000, 30, 1e-4, False)
        assert recipe.stages[0].schedule(0.99) == 1.0
    recipe, plan = prepared("lesion-unet-3d", "paper")
    assert (plan["steps"], plan["boxes"], plan["lr"], plan["slices"], plan["plane"]) == (10_000, 16, 0.01, 32, 128)
    optimizer = recipe.stages[0].optimizer([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0
    _, plan = prepared("slice-pool", "paper")
    assert (plan["steps"], plan["series"], plan["lr"], plan["depth"], plan["head"]) == (60_000, 5, 1e-4, 32, "maximum")
