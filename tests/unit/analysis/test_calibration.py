"""The site's calibration in force: whose scores it may map, what it changes in a finding, and what names it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from models import zoo
from models.bundle import save_bundle
from models.calibration import Calibration
from models.cards import Card
from models.case import InputSpec, Kind, MaskPolicy
from models.ct_triage import MultitaskNet
from tests.unit.analysis.predictions import prediction
from training.phantom.study import small_study
from triaged.analysis.analyst import Analyst
from triaged.analysis.calibration import CalibrationError, SiteCalibration, read_calibration
from triaged.analysis.findings import findings_of
from triaged.analysis.research import require_admitted
from triaged.config import Analysis, findings_digest, parse
from triaged.errors import ConfigError
from triaged.records import Findings, Flag, Provenance

MADE_BY = Provenance(models=(), triaged_version="0.1.0", device="cpu", config_digest="c0ffee")
MAP = Calibration(
    method="isotonic",
    scores=(0.0, 0.5, 1.0),
    probabilities=(0.01, 0.2, 0.9),
    cases=240,
    positives=60,
    made_on="2026-02-03",
    model="learned 3",
    model_sha256="ab" * 32,
)
LEARNED = Card(
    name="learned",
    version="3",
    number=6,
    paper="",
    roles=("triage",),
    outputs=("lesions", "probability"),
    sha256="ab" * 32,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "calibration.json"
    path.write_text(MAP.to_json())
    return path


def test_a_calibrated_score_is_a_probability_without_the_flag() -> None:
    site = SiteCalibration(map=MAP, digest="d")
    flags = (Flag.LOSSY, Flag.UNCALIBRATED)
    raw = findings_of(prediction(probability=0.5), flags, MADE_BY)
    found = findings_of(prediction(probability=0.5), flags, MADE_BY, site)
    assert (raw.covid_probability, raw.flags) == (0.5, flags)
    assert found == replace(raw, covid_probability=pytest.approx(0.2), flags=(Flag.LOSSY,))


def test_a_model_that_says_nothing_keeps_saying_nothing() -> None:
    found = findings_of(prediction(probability=None), (Flag.LOSSY,), MADE_BY, SiteCalibration(map=MAP, digest="d"))
    assert (found.covid_probability, found.flags) == (None, (Flag.LOSSY,))


def test_the_words_for_the_report_name_the_file_by_its_digest(file: Path) -> None:
    site = read_calibration(file, LEARNED)
    assert site is not None
    assert site.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert site.words == f"calibrated at this site: isotonic on 240 cases, sha256 {site.digest[:12]}"
    assert read_calibration(None, LEARNED) is None


def test_a_map_of_another_model_is_refused(file: Path) -> None:
    with pytest.raises(CalibrationError, match="scores of learned 3, not to these weights of learned 4"):
        read_calibration(file, replace(LEARNED, version="4", sha256="cd" * 32))
    with pytest.raises(CalibrationError, match="thresholding gives no score"):
        read_calibration(file, zoo.METHODS["thresholding"])


def test_a_map_that_names_no_model_is_taken(file: Path) -> None:
    file.write_text(replace(MAP, model="", model_sha256="").to_json())
    assert read_calibration(file, replace(LEARNED, sha256="cd" * 32)) is not None


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"{}", b'{"format": 1, "method": "isotonic"}'])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "map.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CalibrationError, match=r"map\.json"):
        read_calibration(path, LEARNED)


def test_the_digest_of_the_settings_follows_the_content_of_the_map(file: Path) -> None:
    plain, mapped = findings_digest(Analysis()), findings_digest(Analysis(calibration=file))
    assert plain != mapped
    copy = file.with_name("renamed.json")
    copy.write_bytes(file.read_bytes())
    assert findings_digest(Analysis(calibration=copy)) == mapped
    copy.write_text(replace(MAP, probabilities=(0.01, 0.3, 0.9)).to_json())
    assert findings_digest(Analysis(calibration=copy)) not in {plain, mapped}
    copy.unlink()
    with pytest.raises(ConfigError, match=r"analysis\.calibration"):
        findings_digest(Analysis(calibration=copy))


def test_the_daemon_does_not_start_with_a_calibration_it_cannot_apply(file: Path) -> None:
    text = f'[storage]\npath = "unused"\n[analysis]\ntriage = "thresholding"\ncalibration = "{file}"\n'
    with pytest.raises(CalibrationError, match="thresholding gives no score"):
        require_admitted(parse(text), "cpu")
    with pytest.raises(CalibrationError, match="thresholding gives no score"):
        Analyst(Analysis(triage="thresholding", calibration=file), "cpu", "c0ffee")
    with pytest.raises(CalibrationError, match="not to these weights"):
        require_admitted(parse(text.replace("thresholding", "ct-triage")), "cpu")


def test_an_analysis_states_the_probability_and_which_calibration_gave_it(tmp_path: Path) -> None:
    """The whole way, with a network of random weights: only what the calibration changes is compared."""
    study = small_study(tmp_path / "study", seed=4, right=0.2, left=0.1)
    network = MultitaskNet(width=2, levels=2, pyramid_hidden=4)
    card = replace(
        LEARNED,
        architecture="multitask-net",
        arguments={"width": 2, "levels": 2, "pyramid_hidden": 4},
        input=InputSpec(kind=Kind.VOLUME, pixel_mm=4.0, window_hu=(-1000.0, 300.0), mask=MaskPolicy.CROP, depth=8),
    )
    card = save_bundle(tmp_path / "bundle", card, network.state_dict())
    file = tmp_path / "map.json"
    file.write_text(replace(MAP, model_sha256=card.sha256).to_json())
    plain = Analysis(triage=str(tmp_path / "bundle"))
    mapped = plain.model_copy(update={"calibration": file})
    raw, found = _findings(plain, study.paths), _findings(mapped, study.paths)
    assert raw.covid_probability is not None
    assert found.covid_probability == pytest.approx(MAP.probability(raw.covid_probability))
    assert Flag.UNCALIBRATED in raw.flags
    assert Flag.UNCALIBRATED not in found.flags
    assert raw.provenance.config_digest != found.provenance.config_digest
    (lungs, triage), (_, before) = found.provenance.models, raw.provenance.models
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert triage.parameters.removeprefix(before.parameters).removeprefix(", ").startswith("calibrated at this site")
    assert digest[:12] in triage.parameters
    assert "calibrated" not in lungs.parameters


def _findings(settings: Analysis, paths: Sequence[Path]) -> Findings:
    analyst = Analyst(settings, "cpu", findings_digest(settings))
    found = analyst.analyse(analyst.examine(paths)).outcome.findings
    assert found is not None
    return found
