"""One study's files to an outcome and its artefacts: real files, the real pipeline, no store."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from models.severity import LEFT, RIGHT
from training.phantom.case import Phantom, Region
from training.phantom.dicom import StudyInfo, Syntax
from training.phantom.pathology import Pathology
from training.phantom.study import SMALL, Options, WrittenStudy, small_study
from triaged import artefacts
from triaged.analysis.analyst import FEW, KEY_SLICES, THUMBNAIL_PX, Analysed, Analyst
from triaged.config import Analysis, findings_digest
from triaged.records import Flag, Outcome, Reason, StudyState

CLASSICAL = Analysis(lungs="classical-lungs", triage="thresholding")
INFO = StudyInfo(study_uid="2.25.4711", body_part="")


@pytest.fixture(scope="module")
def analyst() -> Analyst:
    settings = CLASSICAL
    return Analyst(settings, "cpu", findings_digest(settings))


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    """More on the right than on the left; with a localizer and a coronal reformat beside the axial series."""
    options = Options(scans=(SMALL,), localizer=True, coronal=True)
    return small_study(tmp_path_factory.mktemp("sick"), seed=3, right=0.30, left=0.05, options=options)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    """A head whose header does not say what it is."""
    return small_study(tmp_path_factory.mktemp("head"), phantom=Phantom(seed=2, region=Region.HEAD), info=INFO)


@pytest.fixture(scope="module")
def stages() -> list[str]:
    return []


@pytest.fixture(scope="module")
def analysed(analyst: Analyst, sick: WrittenStudy, stages: list[str]) -> Analysed:
    return analyst.analyse(analyst.examine(sick.paths), partial=True, progress=stages.append)


def refused(analyst: Analyst, study: WrittenStudy, count: int | None = None) -> Outcome:
    made = analyst.analyse(analyst.examine(study.paths[:count]))
    assert made.outcome.state is StudyState.NOT_ANALYSED
    assert (made.artefacts, made.coronal, made.outcome.findings) == (None, None, None)
    assert made.outcome.reason
    return made.outcome


# -- analysed -----------------------------------------------------------------------------------------------------


def test_the_axial_series_is_chosen_among_its_companions(analysed: Analysed, sick: WrittenStudy) -> None:
    choice = analysed.outcome.choice
    assert choice is not None
    assert choice.series_uid == sick.series[0].series_uid
    assert choice.slices == len(sick.series[0].paths)


def test_each_side_has_its_own_share_and_the_larger_is_the_severity(analysed: Analysed, sick: WrittenStudy) -> None:
    found = analysed.outcome.findings
    assert found is not None
    assert found.affected_fraction_right == pytest.approx(sick.truth.right_fraction, abs=0.15)
    assert found.affected_fraction_left == pytest.approx(sick.truth.left_fraction, abs=0.05)
    assert found.affected_fraction == found.affected_fraction_right
    assert found.lung_volume_ml_right == pytest.approx(sick.truth.right_ml, rel=0.12)
    assert found.lung_volume_ml_left == pytest.approx(sick.truth.left_ml, rel=0.12)
    assert set(found.flags) == {Flag.PARTIAL, Flag.THICK_SLICES}


def test_every_stage_is_told_as_it_begins_and_timed(analysed: Analysed, stages: list[str]) -> None:
    assert analysed.outcome.findings is not None
    seconds = analysed.outcome.findings.provenance.seconds
    assert stages == ["read", "lungs", "triage", "extent", "severity"]
    assert set(seconds) == {"select", *stages, "picture"}
    assert all(taken >= 0 for taken in seconds.values())


def test_provenance_names_every_algorithm(analysed: Analysed, analyst: Analyst) -> None:
    assert analysed.outcome.findings is not None
    made_by = analysed.outcome.findings.provenance
    assert [(m.role, m.name) for m in made_by.models] == [("lungs", "classical-lungs"), ("triage", "thresholding")]
    assert made_by.models == analyst.identities
    assert (made_by.device, made_by.config_digest) == ("cpu", findings_digest(CLASSICAL))
    assert not analyst.is_synthetic


def test_masks_lie_on_the_slices_they_came_from(analysed: Analysed, sick: WrittenStudy) -> None:
    assert analysed.artefacts is not None
    masks = analysed.artefacts.masks
    assert masks.lesions is not None
    assert [uid for uid, _ in masks.sources] == list(sick.series[0].sop_uids), "feet to head, as they were drawn"
    for side, truth in ((RIGHT, sick.truth.right_lung), (LEFT, sick.truth.left_lung)):
        assert 2 * (truth & (masks.lungs == side)).sum() / (truth.sum() + (masks.lungs == side).sum()) > 0.9
    assert not (masks.lesions & (masks.lungs == 0)).any(), "no lesion outside the lungs"


def test_artefacts_go_to_disk_and_come_back(analysed: Analysed, tmp_path: Path) -> None:
    assert analysed.artefacts is not None
    folder = artefacts.write(tmp_path, "2.25.1", 1, analysed.artefacts)
    read = artefacts.read_masks(folder)
    np.testing.assert_array_equal(read.lungs, analysed.artefacts.masks.lungs)
    np.testing.assert_array_equal(read.lesions, analysed.artefacts.masks.lesions)
    keys = artefacts.read_key_slices(folder)
    assert keys == [key for key, _ in analysed.artefacts.key_slices]
    for name in ("coronal.png", "picture.png", "thumbnail.png", *(key.file for key in keys)):
        with Image.open(folder / name) as image:
            image.load()


def test_key_slices_are_affected_ones_and_name_their_image(analysed: Analysed, sick: WrittenStudy) -> None:
    assert analysed.artefacts is not None
    keys = [key for key, _ in analysed.artefacts.key_slices]
    assert len(keys) == KEY_SLICES
    assert len({key.slice_index for key in keys}) == KEY_SLICES
    truth = sick.truth.right_lesion | sick.truth.left_lesion
    for key in keys:
        assert key.sop_uid == sick.series[0].sop_uids[key.slice_index]
        assert truth[key.slice_index].any()
        assert 0.0 < key.affected_fraction <= 1.0


def test_the_thumbnail_is_the_view_without_its_margins(analysed: Analysed) -> None:
    assert analysed.artefacts is not None
    with Image.open(io.BytesIO(analysed.artefacts.thumbnail_png)) as image:
        assert image.height <= THUMBNAIL_PX
        assert image.width <= 4 * THUMBNAIL_PX
        edges = np.asarray(image.convert("L"))
    assert edges.mean() > 10, "something is to be seen"


# -- what files say before any pixel is read ----------------------------------------------------------------------


def test_copies_of_a_file_are_one_image(analyst: Analyst, sick: WrittenStudy, tmp_path: Path) -> None:
    """Folders that people copied hold the same images twice; that is no fault of the series."""
    copies = [Path(shutil.copy(path, tmp_path / f"copy-{path.name}")) for path in sick.series[0].paths]
    once, twice = analyst.examine(sick.paths), analyst.examine([*sick.paths, *copies])
    assert twice.selection == once.selection
    assert len(twice.chosen) == len(once.chosen)


def test_what_is_no_dicom_is_counted_and_passed_over(analyst: Analyst, sick: WrittenStudy, tmp_path: Path) -> None:
    junk = tmp_path / "notes.txt"
    junk.write_text("not an image")
    examined = analyst.examine([junk, *sick.paths])
    assert examined.unreadable == 1
    assert examined.selection == analyst.examine(sick.paths).selection


def test_contrast_counts_where_the_chosen_series_has_it(analyst: Analyst, sick: WrittenStudy, tmp_path: Path) -> None:
    def with_agent(path: Path) -> Path:
        return _changed(path, tmp_path, ContrastBolusAgent="Iohexol")

    axial, localizer = sick.series[0].paths, sick.series[1].paths
    assert not analyst.examine([*axial, *map(with_agent, localizer)]).contrast
    assert analyst.examine([*map(with_agent, axial), *localizer]).contrast


@pytest.mark.parametrize("written", ["NONE", "none", "NO", "NATIVE"])
def test_an_agent_called_none_is_no_contrast(
    analyst: Analyst, sick: WrittenStudy, tmp_path: Path, written: str
) -> None:
    """The report would say that contrast agent was given."""
    files = [_changed(path, tmp_path, ContrastBolusAgent=written) for path in sick.series[0].paths]
    assert not analyst.examine(files).contrast


def test_nothing_at_all_is_refused_with_a_reason(analyst: Analyst) -> None:
    outcome = analyst.analyse(analyst.examine([])).outcome
    assert (outcome.state, outcome.reason_code) == (StudyState.NOT_ANALYSED, Reason.NOT_CT)
    assert outcome.reason


# -- refused ------------------------------------------------------------------------------------------------------


def test_a_white_lung_is_never_a_small_number(analyst: Analyst, tmp_path: Path) -> None:
    white = Phantom(seed=4, pathology=Pathology(right=0.10, left=0.95, consolidation_share=0.97))
    outcome = refused(analyst, small_study(tmp_path, phantom=white))
    assert outcome.reason_code == Reason.LUNG_OPAQUE
    assert "left lung" in str(outcome.reason)
    assert outcome.choice is not None, "what was looked at is said"


def test_a_head_that_does_not_say_so_has_no_lungs(analyst: Analyst, head: WrittenStudy) -> None:
    assert refused(analyst, head).reason_code in {Reason.NO_LUNGS, Reason.LUNG_VOLUME, Reason.LUNG_OPAQUE}


def test_a_head_that_says_so_is_refused_by_its_header(analyst: Analyst, head: WrittenStudy, tmp_path: Path) -> None:
    said = [_changed(path, tmp_path, BodyPartExamined="HEAD") for path in head.paths]
    outcome = analyst.analyse(analyst.examine(said)).outcome
    assert (outcome.state, outcome.reason_code, outcome.choice) == (StudyState.NOT_ANALYSED, Reason.NOT_CHEST, None)


def test_pixels_that_nobody_can_decode_are_called_that(analyst: Analyst, tmp_path: Path) -> None:
    unnamed = Phantom(seed=2, region=Region.HEAD)
    options = Options(scans=(SMALL,), syntax=Syntax.GARBAGE)
    assert (
        refused(analyst, small_study(tmp_path, phantom=unnamed, info=INFO, options=options)).reason_code
        == Reason.SYNTAX
    )


def test_a_few_good_images_are_too_few(analyst: Analyst, sick: WrittenStudy) -> None:
    assert refused(analyst, sick, 4).reason_code == Reason.TOO_FEW_SLICES


def test_a_few_broken_images_are_broken_before_they_are_few(
    analyst: Analyst, sick: WrittenStudy, tmp_path: Path
) -> None:
    broken = [_truncated(path, tmp_path) for path in sick.paths[:4]]
    outcome = analyst.analyse(analyst.examine([*broken[:1], *sick.paths[1:4]])).outcome
    assert outcome.reason_code == Reason.UNREADABLE
    assert analyst.analyse(analyst.examine(broken)).outcome.reason_code == Reason.UNREADABLE


def test_an_object_that_would_not_fit_is_not_decoded_to_see_whether_it_is_broken(
    analyst: Analyst, sick: WrittenStudy, tmp_path: Path
) -> None:
    huge = [_changed(path, tmp_path, Rows=60000, Columns=60000) for path in sick.paths[:4]]
    assert analyst.analyse(analyst.examine(huge)).outcome.reason_code == Reason.TOO_FEW_SLICES


def test_pixels_are_looked_at_where_few_were_refused_and_nowhere_else(analyst: Analyst, head: WrittenStudy) -> None:
    assert len(analyst.examine(head.paths[: FEW - 1]).few) == FEW - 1
    assert analyst.examine(head.paths).few == ()


def test_one_broken_image_among_many_is_told(analyst: Analyst, sick: WrittenStudy, tmp_path: Path) -> None:
    axial = list(sick.series[0].paths)
    axial[15] = _truncated(axial[15], tmp_path)
    outcome = analyst.analyse(analyst.examine(axial)).outcome
    assert outcome.reason_code == Reason.UNREADABLE
    assert outcome.choice is not None


def _changed(path: Path, folder: Path, **values: str) -> Path:
    ds = dcmread(path)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.save_as(folder / path.name)
    return folder / path.name


def _truncated(path: Path, folder: Path) -> Path:
    cut = folder / path.name
    cut.write_bytes(path.read_bytes()[:-3000])
    return cut
