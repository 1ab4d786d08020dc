"""The classical path on real CTs: reading, lungs, sides, lesions, and files that are no volume.

For checking only; nothing is tuned on these. The figures printed with `-s` are the ones to quote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from models.frames import frames_of, hu_planes
from models.pipeline import Pipeline, Prediction
from models.reading import NotAVolume, read_dicom_series, read_file
from models.severity import LEFT, RIGHT
from models.volume import Volume
from tests.white import painted
from triaged.analysis.quality import judge
from triaged.records import Flag, Reason

STUDIES = (
    "covid-P001",
    "cap-001",
    "normal-001",
    "lungdx-A0001/series-2-L",
    "lungdx-A0001/series-3-B",
    "cip-ct64",
)
Analyse = Callable[[str], Prediction]


@pytest.fixture(scope="module")
def analyse(shared_data: Path) -> Analyse:
    """The prediction of a study by its folder, made once."""
    pipeline = Pipeline()

    @cache
    def run(name: str) -> Prediction:
        found = pipeline.run(_read(shared_data, name))
        _print(name, found)
        return found

    return run


def _read(shared_data: Path, name: str) -> Volume:
    return read_dicom_series(sorted((shared_data / "studies" / name).glob("*.dcm")))


def _print(name: str, found: Prediction) -> None:
    severity, extent = found.severity, found.extent
    assert severity is not None
    print(
        f"\n{name}: right {extent.lung_ml_right:.0f} mL, left {extent.lung_ml_left:.0f} mL, "
        f"affected {severity.fraction_right:.2%} right {severity.fraction_left:.2%} left, {severity.grade}, "
        f"cage {extent.cavity_share_right} {extent.cavity_share_left}, {sum(found.seconds.values()):.1f} s"
    )


def _affected(found: Prediction) -> float:
    assert found.severity is not None
    return found.severity.fraction


@pytest.mark.parametrize("name", STUDIES)
def test_both_lungs_are_found_and_plausible(analyse: Analyse, name: str) -> None:
    extent = analyse(name).extent
    assert 1500 < extent.lung_ml < 9000
    assert 0.8 < extent.right_left_ratio < 1.8
    assert extent.smaller_cavity_share is not None
    assert extent.smaller_cavity_share > 0.5


def test_lungs_of_the_marked_study_are_the_marked_ones(analyse: Analyse, shared_data: Path) -> None:
    found = analyse("cip-ct64")
    marked = read_file(shared_data / "volumes" / "cip-ct64-lungs.nrrd").hu > 0
    assert found.extent.lung_ml == pytest.approx(4554, rel=0.10)
    assert _dice(found.labels > 0, marked) > 0.95


def test_lungs_of_the_marked_volume_are_the_marked_ones(shared_data: Path) -> None:
    found = Pipeline().run(read_file(shared_data / "volumes" / "imlab-id001.nii.gz"))
    _print("imlab-id001", found)
    marked = read_file(shared_data / "volumes" / "imlab-id001-lungs.nii.gz").hu > 0
    assert _dice(found.labels > 0, marked) > 0.95


def test_the_normal_study_is_hardly_affected_and_the_sick_one_more(analyse: Analyse) -> None:
    assert _affected(analyse("normal-001")) <= 0.02
    assert _affected(analyse("covid-P001")) > _affected(analyse("normal-001"))


def test_both_kernels_of_one_study_agree_within_three_points(analyse: Analyse) -> None:
    sharp, soft = analyse("lungdx-A0001/series-2-L"), analyse("lungdx-A0001/series-3-B")
    assert abs(_affected(sharp) - _affected(soft)) < 0.03


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_a_real_lung_painted_white_leaves_its_cage_empty(analyse: Analyse, side: int) -> None:
    healthy = analyse("normal-001")
    hu = healthy.volume.hu.copy()
    white = healthy.labels == side
    hu[white] = np.random.default_rng(1).normal(40, 15, int(white.sum())).astype(np.int16)
    extent = Pipeline().run(replace(healthy.volume, hu=hu)).extent
    assert extent.smaller_cavity_share is not None
    assert extent.smaller_cavity_share < 0.2
    assert not 0.3 < extent.right_left_ratio < 3.0


@pytest.mark.parametrize("sides", [(RIGHT,), (LEFT,), (RIGHT, LEFT)])
@pytest.mark.parametrize("name", ["normal-001", "cip-ct64"])
def test_white_bases_of_a_real_chest_are_refused_or_doubted(
    analyse: Analyse, name: str, sides: tuple[int, ...]
) -> None:
    healthy = analyse(name)
    found = Pipeline().run(painted(healthy.volume, healthy.labels, sides, 0.25))
    verdict = judge(found, partial=False, lossy=False, contrast=False)
    assert verdict.reason_code is Reason.LUNG_OPAQUE or Flag.LUNG_MAY_BE_MISSING in verdict.flags


@pytest.mark.parametrize("name", ["covid-P001", "normal-001", "lungdx-A0001/series-3-B", "cip-ct64"])
def test_no_whole_real_chest_is_doubted(analyse: Analyse, name: str) -> None:
    verdict = judge(analyse(name), partial=False, lossy=False, contrast=False)
    assert verdict.reason_code is None
    assert Flag.LUNG_MAY_BE_MISSING not in verdict.flags


ODD = (
    ("gantry-tilt", "*", Reason.GANTRY_TILT),
    ("missing-slice", "*", Reason.GAP),
    ("not-a-volume", "*", Reason.DUPLICATE_POSITIONS),
    ("enhanced-multiframe", "eCT_2frames_jls.dcm", Reason.DERIVED_ONLY),
    ("enhanced-multiframe", "eCT_2frames_fragmented_jpeg51.dcm", Reason.DERIVED_ONLY),
    ("tomosynthesis-as-ct", "*", Reason.DERIVED_ONLY),
    ("localizer-and-sc", "localizer_surview.dcm", Reason.DERIVED_ONLY),
    ("localizer-and-sc", "sc_screensave_no_pixels.dcm", Reason.GEOMETRY),
    ("private-sop-class", "*", Reason.GEOMETRY),
    ("no-sop-class", "*", Reason.UNREADABLE),
    ("wrong-transfer-syntax", "*", Reason.UNREADABLE),
    ("bad-meta", "jpeg_pixels_invalid.dcm", Reason.DERIVED_ONLY),
    ("truncated", "ct_cut_at_60_percent.dcm", Reason.UNREADABLE),
    ("truncated", "ct_j2k_cut_at_25_percent.dcm", Reason.UNREADABLE),
    ("truncated", "mr_pixeldata_short.dcm", Reason.UNREADABLE),
    ("ts-cornerstone", "CT_.2.4.53.dcm", Reason.SYNTAX),
    ("ts-cornerstone", "CT_.2.4.55.dcm", Reason.SYNTAX),
    ("ts-nema", "CT1_RLE.dcm", Reason.TOO_FEW_SLICES),
    ("reformats", "A098752_axial.dcm", Reason.TOO_FEW_SLICES),
)


@pytest.mark.parametrize(("folder", "pattern", "reason"), ODD)
def test_what_is_no_volume_is_refused_by_name(shared_data: Path, folder: str, pattern: str, reason: Reason) -> None:
    paths = [p for p in (shared_data / "odd" / folder).glob(pattern) if p.name != "EXPECT.md"]
    assert paths
    with pytest.raises(NotAVolume) as caught:
        read_dicom_series(paths)
    assert caught.value.code == reason


def _hu(path: Path) -> np.ndarray:
    return next(iter(hu_planes(frames_of(path))))


@pytest.mark.parametrize(("image", "reference"), [("CT1", "CT1_RLE.dcm"), ("CT2", "CT2_RLE.dcm")])
def test_every_lossless_encoding_gives_the_same_hu(shared_data: Path, image: str, reference: str) -> None:
    folder = shared_data / "odd" / "ts-nema"
    expected = _hu(folder / reference)
    for coding in ("JPLL", "JLSL", "J2KR"):
        path = folder / f"{image}_{coding}.dcm"
        np.testing.assert_array_equal(_hu(path), expected)
        assert not frames_of(path)[0].lossy
    for coding in ("JLSN", "J2KI"):
        assert frames_of(folder / f"{image}_{coding}.dcm")[0].lossy


def test_lossy_encodings_are_rescaled_and_say_so(shared_data: Path) -> None:
    folder = shared_data / "odd" / "ts-cornerstone"
    expected = _hu(folder / "CT_.2.4.57.dcm").astype(int)
    np.testing.assert_array_equal(_hu(folder / "CT_.2.1.99.dcm"), expected)
    inside = expected > -1024
    for name, limit in (("CT_.2.4.50.dcm", 64), ("CT_.2.4.51.dcm", 36)):
        assert np.abs(_hu(folder / name) - expected)[inside].max() <= limit
        assert frames_of(folder / name)[0].lossy


def test_a_broken_private_sequence_does_not_keep_a_ct_from_being_read(shared_data: Path) -> None:
    folder = shared_data / "odd" / "bad-meta"
    assert _hu(folder / "ct_bad_sequence.dcm").shape == (512, 512)
    assert _hu(folder / "ct_bad_meta.dcm").shape == (128, 128)


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))
