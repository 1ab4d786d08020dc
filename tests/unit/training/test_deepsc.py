"""DeepSC-COVID learned: how patches are drawn, and what each stage teaches. That it learns a batch by heart and serves:
tests/acceptance/test_zoo_tiny.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.deepsc import DeepSC, cut
from tests.unit.training.small_patients import written
from training.datasets.patches import ScanPatches, drawn_box
from training.deepsc import loss
from training.recipe import Batch
from training.train import prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("patients"))


@pytest.fixture(scope="module")
def patches(folder: Path) -> ScanPatches:
    changes = ["by_heart=false", "scans=3", "slices=16", "slice_mm=12.5", "pixel_mm=6.25", "overview_slices=16"]
    recipe, _ = prepared("deepsc", "tiny", changes)
    data = recipe.data(folder)
    assert isinstance(data, ScanPatches)
    return data


@pytest.fixture(scope="module")
def batch(patches: ScanPatches) -> Batch:
    return patches.batch(np.random.default_rng(4))


def test_a_patch_lies_where_its_place_says(batch: Batch) -> None:
    """16 of 16 slices of the scan are its overview here, so that the patch can be found there again."""
    at = cut(batch["scans"], batch["places"], batch["patches"].shape[2:])
    assert batch["patches"].std() > 0.05
    inner = (slice(None), slice(None), slice(1, -1))  # slices are picked with a slight lag, never from the last
    assert float((at - batch["patches"])[inner].abs().median()) < 0.02
    elsewhere = cut(batch["scans"], batch["places"].flip(1), batch["patches"].shape[2:])
    assert float((at - batch["patches"]).abs().mean()) < 0.5 * float((elsewhere - batch["patches"]).abs().mean())


def test_lesions_are_told_of_pneumonia_alone_and_rare_classes_weigh_more(patches: ScanPatches) -> None:
    rng = np.random.default_rng(1)
    for _ in range(4):
        b = patches.batch(rng)
        silent = torch.isnan(b["lesions"]).flatten(1).all(1)
        assert torch.equal(silent, b["diagnosis"] == 2)
        # 2 of COVID-19, 1 of CAP, 3 of neither
        assert b["weight"].tolist() == pytest.approx([[1.0, 2.0, 2 / 3][int(d)] for d in b["diagnosis"]])


def test_patches_are_drawn_after_lesions_more_often_than_not() -> None:
    lesions = np.zeros((40, 64, 64), dtype=np.bool_)
    lesions[30:34, 40:50, 20:30] = True
    rng = np.random.default_rng(0)
    tile = (8, 24, 24)
    boxes = [drawn_box(lesions, tile, rng) for _ in range(200)]
    assert all(low >= 0 and high <= n for box in boxes for (low, high), n in zip(box, lesions.shape, strict=True))
    hits = sum(lesions[slice(*s), slice(*r), slice(*c)].mean() >= 0.01 for s, r, c in boxes)
    anywhere = [drawn_box(np.zeros_like(lesions), tile, rng) for _ in range(200)]
    by_chance = sum(lesions[slice(*s), slice(*r), slice(*c)].mean() >= 0.01 for s, r, c in anywhere)
    assert hits > 0.5 * 200 > 2 * by_chance
    assert drawn_box(lesions, (48, 24, 24), rng)[0] == (0, 48)  # too short: from its beginning


def test_validation_shows_whole_patients(patches: ScanPatches) -> None:
    case = next(iter(patches.validation()))
    assert case["patches"].shape == (2, 1, 8, 24, 24)
    assert case["places"][:, 0].tolist() == [[0.0, 0.5], [0.5, 1.0]]
    assert case["scans"].shape == (1, 1, 16, 24, 24)
    assert not torch.isnan(case["lesions"]).any()


def test_apart_no_task_teaches_the_other_and_together_both_do(batch: Batch) -> None:
    torch.manual_seed(3)
    network = DeepSC()
    told = {name: t if name != "diagnosis" else torch.tensor([0, 1, 2]) for name, t in batch.items()}
    told["lesions"] = torch.nan_to_num(batch["lesions"])

    def taught(*terms: str, apart: bool) -> set[str]:
        network.zero_grad()
        found = loss(network, told, apart=apart, task_aware=10.0, multi_scale=True)
        torch.stack([found[term] for term in terms]).sum().backward()  # type: ignore[no-untyped-call]
        with_gradient = [n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()]
        return {name.split(".")[0] for name in with_gradient}

    lesion, of_class = {"lesion_stem", "lesion_net"}, {"class_stem", "class_net"}
    assert taught("lesion Dice", "lesion focal", apart=True) == lesion
    assert taught("class", apart=True) == of_class
    assert taught("lesion Dice", apart=False) == lesion | {"class_stem", "stitches"}
    assert taught("class", apart=False) == taught("task-aware", apart=False) == lesion | of_class | {"stitches"}


@torch.inference_mode()
def test_the_task_aware_loss_has_its_switches(batch: Batch) -> None:
    network = DeepSC()
    told = {**batch, "diagnosis": torch.tensor([0, 1, 0])}
    terms = [
        loss(network, told, apart=False, task_aware=weight, multi_scale=multi)
        for weight, multi in ((10.0, True), (10.0, False), (0.0, True))
    ]
    assert float(terms[0]["task-aware"]) > float(terms[1]["task-aware"]) > 0.0
    assert "task-aware" not in terms[2]
