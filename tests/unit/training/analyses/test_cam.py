"""Class activation maps: they add up to the logits, point where they must, and lie on the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.bundle import Bundle, BundleError
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.covid_mtl import CovidMTL, CovidMTLTransfer, SqueezeNet3D
from models.predict import LungMasks
from models.prepare import prepare
from models.reading import read_file
from models.resnet3d import ResNet3D
from models.volume import Volume
from models.volume_triage import CT_CLASSES, VolumeTriage
from training.analyses import attention_figure
from training.analyses.attention import attention, caught, save_nifti, speaking_for
from training.analyses.cam import ONLY, activation, class_maps

SHAPE = (10, 20, 31)
SPEC = InputSpec(
    kind=Kind.VOLUME,
    pixel_mm=3.0,
    slice_mm=6.0,
    window_hu=(-1024.0, 976.0),
    mask=MaskPolicy.ZERO,
    size=(16, 24, 40),
)


MADE = {
    "resnet3d": lambda: ResNet3D(classes=3),
    "squeezenet3d": lambda: SqueezeNet3D(3, squeeze=2),
    "covid-mtl": lambda: CovidMTL(squeeze=2),
    "covid-mtl-transfer": lambda: CovidMTLTransfer(squeeze=2),
}


@pytest.mark.parametrize("name", MADE)
def test_maps_add_up_to_the_logits(name: str) -> None:
    torch.manual_seed(3)
    network = MADE[name]()
    network.eval()
    for part in network.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.bias)
    x = torch.rand(1, 1, 24, 40, 33)
    with torch.inference_mode():
        said, found = class_maps(network, lambda: network(x))
    answers = said if isinstance(said, dict) else {ONLY: said}
    assert list(found) == list(answers)
    for task, maps in found.items():
        assert maps.maps.shape[0] == answers[task].shape[1]
        assert torch.equal(maps.logits, answers[task][0])
        assert torch.allclose(maps.elsewhere, bias_of(network, task), atol=2e-5)


def bias_of(network: nn.Module, task: str) -> torch.Tensor:
    """What of the logits does not depend on the picture."""
    if isinstance(network, SqueezeNet3D):
        return torch.zeros(3)
    if isinstance(network, ResNet3D):
        layer = network.head[-1]
    elif isinstance(network, CovidMTLTransfer) and task == "severity":
        layer = network.severity
    else:
        assert isinstance(network, CovidMTL)
        layer = network.decision[task].get_submodule("1")
    assert isinstance(layer, nn.Linear)
    return layer.bias


def test_what_features_say_comes_from_no_place() -> None:
    torch.manual_seed(4)
    network = CovidMTL(["CT"], features=7, squeeze=2).eval()
    x = torch.rand(1, 1, 16, 20, 24)
    with torch.inference_mode():
        _, zero = class_maps(network, lambda: network(x, torch.zeros(1, 7)))
        _, other = class_maps(network, lambda: network(x, torch.full((1, 7), 5.0)))
    assert torch.equal(zero["CT"].maps, other["CT"].maps)
    assert not torch.equal(zero["CT"].elsewhere, other["CT"].elsewhere)


def test_a_network_without_such_maps_is_refused() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(BundleError, match="models 9 to 13"):
        class_maps(network, lambda: network(torch.zeros(1, 2)))
    twice = SqueezeNet3D(squeeze=2).eval()
    x = torch.rand(1, 1, 16, 16, 16)
    with pytest.raises(BundleError, match="2 times"):
        class_maps(twice, lambda: (twice(x), twice(x)))


class Bright(SqueezeNet3D):
    """Its first class is what is bright, its second what is dark; maps on an eighth of the grid."""

    def __init__(self) -> None:
        super().__init__(squeeze=2)
        self.trunk = nn.AvgPool3d(8)  # type: ignore[assignment]
        self.classifier = nn.Sequential(
            nn.Identity(), nn.Conv3d(1, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten()
        )
        with torch.no_grad():
            self.classifier[1].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1, 1))
            self.classifier[1].bias.copy_(torch.tensor([-0.1, 0.3]))


def bundle(network: nn.Module) -> Bundle:
    card = Card(
        name="bright",
        version="1",
        number=10,
        paper="none",
        roles=("triage",),
        outputs=("probability",),
        input=SPEC,
        classes={"CT": CT_CLASSES},
    )
    return Bundle(card=card, network=network.eval())


def study(spot: tuple[slice, slice, slice]) -> tuple[Volume, LungMasks]:
    """Dark lungs with one dense spot, on an oblique grid of 6 x 3 x 3 mm."""
    hu = np.full(SHAPE, -900, np.int16)
    hu[spot] = 900
    tilt = np.deg2rad(8.0)
    affine = np.eye(4)
    affine[:3, :3] = np.array(
        [[0, 0, 3.0], [-np.sin(tilt) * 6, np.cos(tilt) * 3, 0], [np.cos(tilt) * 6, np.sin(tilt) * 3, 0]]
    )
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:9, 2:18, 2:15], labels[1:9, 2:18, 17:30] = 1, 2
    return Volume(hu=hu, affine_lps=affine), LungMasks(labels=labels, sides_by_size=False)


@pytest.mark.parametrize(
    "spot", [(slice(2, 5), slice(4, 9), slice(4, 10)), (slice(6, 9), slice(11, 17), slice(20, 28))]
)
def test_a_map_points_at_what_its_class_is_made_of(spot: tuple[slice, slice, slice]) -> None:
    volume, lungs = study(spot)
    made = bundle(Bright())
    found = activation(made, VolumeTriage(made, "cpu"), volume, lungs, task="CT", chosen=CT_CLASSES[0])
    inside = np.zeros(SHAPE, np.bool_)
    inside[spot] = True
    at = np.unravel_index(int(found.attention.values.argmax()), SHAPE)
    # A cell of the map is 8 voxels of 6 x 3 x 3 mm: the middle of the brightest is within one of the spot's.
    for place, part, reach in zip(at, spot, (8, 8, 8), strict=True):
        assert abs(int(place) - (part.start + part.stop - 1) / 2) <= reach / 2 + 1
    assert found.attention.share(inside) > 3 * found.attention.by_chance(inside)
    assert found.attention.values.max() == pytest.approx(1.0, abs=0.2)
    assert (found.task, found.chosen) == ("CT", CT_CLASSES[0])
    assert sum(found.classes.values()) == pytest.approx(1.0)
    assert found.from_places == pytest.approx(found.logit, abs=1e-5), "this network has nothing beside its places"


def test_the_likeliest_class_is_taken_and_an_unknown_refused() -> None:
    volume, lungs = study((slice(2, 5), slice(4, 9), slice(4, 10)))
    made = bundle(Bright())
    predictor = VolumeTriage(made, "cpu")
    found = activation(made, predictor, volume, lungs)
    assert found.classes[found.chosen] == max(found.classes.values())
    with pytest.raises(ValueError, match="no class 'cancer': CT "):
        activation(made, predictor, volume, lungs, chosen="cancer")
    with pytest.raises(ValueError, match="no task 'NAT': CT"):
        activation(made, predictor, volume, lungs, task="NAT")


def test_the_map_lies_on_the_volume_in_nifti(tmp_path: Path) -> None:
    spot = (slice(2, 5), slice(4, 9), slice(4, 10))
    volume, lungs = study(spot)
    made = bundle(Bright())
    found = activation(made, VolumeTriage(made, "cpu"), volume, lungs, chosen=CT_CLASSES[0])
    scaled = type(found.attention)(
        name="scaled", values=(1000 * found.attention.values).astype(np.float32), seen=found.attention.seen
    )
    back = read_file(save_nifti(scaled, volume, tmp_path / "map.nii.gz"))
    assert np.allclose(back.affine_lps, volume.affine_lps, atol=1e-4)
    assert np.abs(back.hu - scaled.values).max() <= 0.51


def test_the_figure_goes_through_the_strongest_place() -> None:
    volume, lungs = study((slice(2, 5), slice(4, 9), slice(4, 10)))
    made = bundle(Bright())
    found = activation(made, VolumeTriage(made, "cpu"), volume, lungs, chosen=CT_CLASSES[0])
    figure = attention_figure.draw(volume, lungs.labels > 0, [found.attention], "drawn", lungs.labels == 1)
    pictures = [axes.get_images() for axes in figure.axes if axes.get_images()]
    assert [len(images) for images in pictures[:6]] == [1, 1, 1, 2, 2, 2]
    largest = np.where(lungs.labels > 0, found.attention.values, 0).max()
    for images in pictures[3:6]:
        assert np.asarray(images[1].get_array()).max() >= largest


def test_nothing_that_speaks_for_a_class_is_an_empty_map() -> None:
    volume, lungs = study((slice(2, 5), slice(4, 9), slice(4, 10)))
    assert not speaking_for(torch.full((2, 2, 2), -1.0)).any()
    found = attention("nothing", torch.zeros(2, 2, 2), prepare(volume, SPEC, lungs.labels > 0))
    assert np.isnan(found.share(lungs.labels > 0))


def test_nothing_is_left_on_a_network_that_was_watched() -> None:
    network = nn.Linear(2, 2)
    with caught(network) as seen:
        network(torch.zeros(1, 2))
    with pytest.raises(RuntimeError, match="mat1 and mat2"), caught(network):
        network(torch.zeros(1, 3))
    network(torch.zeros(1, 2))
    assert len(seen) == 1
    assert not network._forward_hooks
