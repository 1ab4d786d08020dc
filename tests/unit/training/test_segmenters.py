"""The segmenters that DeepSC-COVID compares with: what they are shown, and what one training leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import read_card, read_tensors
from tests.unit.training.small_patients import patient, written
from training.datasets.masked_slices import MaskedSlices, StretchedVolumes, affine, bent
from training.datasets.stored import DataError, StoredPatient
from training.recipes.fss import loss, support
from training.train import prepared, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("patients"))


def slices(folder: Path, name: str, *changes: str) -> MaskedSlices:
    data = prepared(name, "tiny", ["by_heart=false", "pixel_mm=0", *changes])[0].data(folder)
    assert isinstance(data, MaskedSlices)
    return data


def test_masked_slices_show_lungs_alone_and_lesions_as_often_as_asked(folder: Path) -> None:
    rng = np.random.default_rng(2)
    shown = slices(folder, "unetpp", "with_lesions=1", "slices=6").batch(rng)
    assert shown["image"].shape == (6, 1, 44, 57)
    assert shown["lesions"].flatten(1).any(1).all()
    assert float((shown["image"] > 0).float().mean()) < 0.4  # the rest is no lung
    lesion, rest = shown["lesions"] > 0.5, (shown["lesions"] < 0.5) & (shown["image"] > 0)
    assert shown["image"][lesion].mean() > shown["image"][rest].mean() + 0.2


class OnePatient:
    """A library of one, whose lesion shows in two of nine slices."""

    kinds = ("covid",)
    digest, description = "one", "one patient"
    annotated, unknown, synthetic = (True,), frozenset[str](), True

    def __init__(self) -> None:
        whole = patient(0, lesion=True)
        lesions = whole.lesions.copy()
        lesions[:4] = lesions[6:] = False
        self.patient = replace(whole, lesions=lesions)

    def __getitem__(self, index: int) -> StoredPatient:
        return self.patient


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_slices_with_and_without_lesions_come_as_often_as_asked(folder: Path, share: float) -> None:
    data = replace(slices(folder, "unetpp", f"with_lesions={share}", "slices=40"), train=OnePatient())
    found = data.batch(np.random.default_rng(2))["lesions"].flatten(1).any(1).float().mean()
    assert float(found) == pytest.approx(share, abs=0.2 if share == 0.5 else 0.0)


def test_slices_whose_lung_vanishes_on_the_grid_are_not_shown(folder: Path) -> None:
    one = OnePatient()
    lungs = one.patient.lungs.copy()
    lungs[:4] = lungs[6:] = False
    lungs[:4, 20, 20] = True  # a pixel of 2 mm, on a grid of 6 mm
    data = slices(folder, "unetpp", "with_lesions=0", "slices=8", "pixel_mm=6")
    one.patient = replace(one.patient, lungs=lungs)
    shown = replace(data, train=one).batch(np.random.default_rng(2))
    assert (shown["image"] > 0).flatten(1).any(1).all()
    lungs[4:6] = False
    with pytest.raises(DataError, match=r"without lung at 6\.0 mm"):
        replace(data, train=one).batch(np.random.default_rng(2))


def test_boxed_slices_show_what_lies_around_the_lungs(folder: Path) -> None:
    shown = slices(folder, "coplenet", "slices=3").batch(np.random.default_rng(2))
    rows, columns = shown["image"].shape[2:]
    assert rows < 44
    assert columns < 57
    body = (shown["image"] > 0.85) & (shown["lesions"] < 0.5)
    assert body.any()


def test_stretched_volumes_have_one_size_and_keep_image_and_lesions_together(folder: Path) -> None:
    data = prepared("densevnet", "tiny", ["by_heart=false"])[0].data(folder)
    assert isinstance(data, StretchedVolumes)
    shown = data.batch(np.random.default_rng(1))
    assert shown["image"].shape == shown["lesions"].shape == (2, 1, 16, 32, 32)
    lesion = shown["lesions"] > 0.5
    assert lesion.flatten(1).any(1).all()
    assert float(shown["image"][lesion].mean()) > float(shown["image"][~lesion].mean())


def test_bending_by_nothing_changes_nothing_and_by_something_enlarges_the_middle() -> None:
    maps = torch.rand(1, 1, 10, 20, 31)
    rng = np.random.default_rng(0)
    assert torch.allclose(bent(maps, affine(rng, 0.0)), maps, atol=1e-4)
    box = torch.zeros(1, 1, 20, 20, 20)
    box[..., 5:15, 5:15, 5:15] = 1.0
    larger = [float(bent(box, affine(rng, 0.3)).sum() / box.sum()) for _ in range(5)]
    assert min(larger) > 1.1


def test_one_training_of_unetpp_leaves_both_networks(folder: Path, tmp_path: Path) -> None:
    changes = ["steps=1", "validate_every=1", "slices=1"]
    large = train("unetpp", scale="tiny", data=folder, out=tmp_path / "run", changes=changes).bundle
    small = tmp_path / "run" / "bundle-unetpp-l1"
    assert large is not None
    assert [read_card(bundle).number for bundle in (large, small)] == [22, 21]
    weights, every = read_tensors(small), read_tensors(large)
    assert len(weights) < len(every)
    assert all(torch.equal(t, every[n]) for n, t in weights.items() if n.startswith("nodes.0_0"))


def test_episodes_support_every_slice_and_the_network_keeps_its_own(folder: Path) -> None:
    pytest.importorskip("monai")
    from models.fss import FewShotNet

    data = slices(folder, "fss", "slices=2")
    batch = data.batch(np.random.default_rng(3))
    assert batch["support"].shape == batch["support_lesions"].shape == batch["image"].shape
    assert batch["support_lesions"].flatten(1).any(1).all()
    torch.manual_seed(1)
    network = FewShotNet(supports=3, plane=(32, 40))
    support(network, data, seed=5)
    assert network.support_masks.flatten(1).any(1).all()
    assert set(network.support_masks.unique().tolist()) == {0.0, 1.0}
    assert len(network.support_images.flatten(1).unique(dim=0)) > 1
    terms = loss(network, batch)
    assert all(torch.isfinite(t) for t in terms.values())
    with torch.inference_mode():
        assert network.eval().answer(batch["image"]).shape == batch["image"].shape
