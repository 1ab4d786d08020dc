"""Volume to Prediction, and bundles that may or may not be loaded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import zoo
from models.bundle import TENSORS, Bundle, BundleError, load_bundle, read_card, save_bundle
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.pipeline import Pipeline
from models.predict import LungMasks, TriageResult, UnknownModel, resolve
from models.prepare import prepare
from models.refusal import NotAVolume
from models.severity import LEFT, RIGHT
from models.volume import Volume
from models.zoo import Architecture
from tests.unit.models.chest import Chest, Ellipsoid, draw
from triaged.records import Grade, Reason

LESION = Ellipsoid(centre=(20, 10, -75), half=(50, 40, 25))


def test_a_right_sided_lesion_is_measured_on_the_right() -> None:
    shown = draw(Chest(dense=((LESION, -400),)))
    stages: list[str] = []
    found = Pipeline().run(shown.volume, stages.append)
    true = (shown.right & (shown.volume.hu > -600)).sum() / shown.right.sum()
    assert found.severity is not None
    assert found.severity.fraction_right == pytest.approx(true, rel=0.2)
    assert found.severity.fraction_left == 0.0
    assert found.severity.grade == Grade.CT1
    assert (found.probability, found.class_probabilities) == (None, None)
    assert stages == list(found.seconds) == ["lungs", "triage", "extent", "severity"]
    assert [(i.role, i.name) for i in found.identities] == [("lungs", "classical-lungs"), ("triage", "thresholding")]
    assert set(np.unique(found.labels)) == {0, RIGHT, LEFT}


def test_no_lungs_is_said_and_not_measured() -> None:
    with pytest.raises(NotAVolume) as caught:
        Pipeline().run(draw(Chest(right=None, left=None, trachea=False)).volume)
    assert caught.value.code == Reason.NO_LUNGS


def test_sagittal_slices_are_refused() -> None:
    volume = draw().volume
    turned = replace(volume, affine_lps=volume.affine_lps[[2, 1, 0, 3]])
    with pytest.raises(NotAVolume) as caught:
        Pipeline().run(turned)
    assert caught.value.code == Reason.NO_AXIAL_CT


@pytest.mark.parametrize(
    ("name", "role"), [("thresholding", "lungs"), ("classical-lungs", "triage"), ("no-such", "lungs")]
)
def test_a_name_that_cannot_fill_the_role_is_refused(name: str, role: str) -> None:
    with pytest.raises(UnknownModel):
        resolve(name, role)  # type: ignore[call-overload]


def test_naming_models_needs_no_torch() -> None:
    modules = "models, models.cards, models.zoo, models.predict, models.pipeline, models.reading"
    code = f"import sys, {modules}; models.zoo.cards(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_card_names_its_paper_and_fills_a_role() -> None:
    for name, card in zoo.METHODS.items():
        assert (card.name, bool(card.paper and card.limits), card.sha256) == (name, True, "")
        assert card.number in {31, 32, 33, 34}


class Tiny(torch.nn.Module):
    """One 1 x 1 convolution: the probability that a slice is ill is that of its mean."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(1, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.mix(x).mean())


@dataclass(frozen=True)
class TinyTriage:
    bundle: Bundle

    @property
    def card(self) -> Card:
        return self.bundle.card

    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        assert self.card.input is not None
        image = prepare(volume, self.card.input, lungs.labels > 0).image
        with torch.inference_mode():
            return TriageResult(probability=float(self.bundle.network(torch.from_numpy(image[:, None]))))


TINY: Mapping[str, Architecture] = {
    "tiny": Architecture(network=Tiny, triage=lambda bundle, device: TinyTriage(bundle)),
}
SPEC = InputSpec(kind=Kind.SLICES, pixel_mm=4.0, window_hu=(-1000.0, 300.0), mask=MaskPolicy.CROP)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    card = Card(
        name="tiny-triage",
        version="7",
        number=6,
        paper="none",
        roles=("triage",),
        outputs=("probability",),
        architecture="tiny",
        arguments={"width": 3},
        synthetic=True,
        input=SPEC,
    )
    save_bundle(tmp_path / "tiny", card, Tiny(3).state_dict())
    return tmp_path / "tiny"


def test_a_bundle_returns_card_and_weights_as_saved(bundle: Path) -> None:
    torch.manual_seed(3)
    expected = Tiny(3).state_dict()
    loaded = load_bundle(bundle, TINY)
    assert loaded.card == read_card(bundle)
    assert (loaded.card.input, loaded.card.synthetic, loaded.network.training) == (SPEC, True, False)
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_a_network_fills_the_triage_role_and_gives_no_severity(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "architectures", lambda: TINY)
    found = Pipeline(triage=str(bundle)).run(draw().volume)
    assert found.probability is not None
    assert 0.0 < found.probability < 1.0
    assert (found.lesions, found.severity) == (None, None)
    identity = found.identities[1]
    assert (identity.name, identity.version, identity.synthetic) == ("tiny-triage", "7", True)
    assert identity.sha256 == read_card(bundle).sha256 != ""


def test_a_changed_byte_is_refused(bundle: Path) -> None:
    content = bytearray((bundle / TENSORS).read_bytes())
    content[-1] ^= 1
    (bundle / TENSORS).write_bytes(content)
    with pytest.raises(BundleError, match="sha256"):
        load_bundle(bundle, TINY)


def test_a_pickle_is_refused_unread(bundle: Path) -> None:
    (bundle / "model.pt").write_bytes(b"not even a pickle")
    with pytest.raises(BundleError, match="pickle"):
        load_bundle(bundle, TINY)


def test_an_unknown_architecture_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match="unknown architecture 'tiny'"):
        load_bundle(bundle, {})


def test_tensors_of_another_network_are_refused(bundle: Path) -> None:
    save_bundle(bundle, read_card(bundle), Tiny(2).state_dict())
    with pytest.raises(BundleError, match="do not fit"):
        load_bundle(bundle, TINY)


@pytest.mark.parametrize("text", ["", "[]", '{"name": "x"}', '{"surprise": 1}'])
def test_what_is_no_card_is_refused(bundle: Path, text: str) -> None:
    (bundle / "card.json").write_text(text)
    with pytest.raises(BundleError, match=r"card\.json"):
        load_bundle(bundle, TINY)
