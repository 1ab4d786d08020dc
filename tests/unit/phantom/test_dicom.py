"""What is written is what a scanner would send, and reads back to the volume it came from."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset

from tests.support import peer
from training.phantom.case import Phantom, Region
from training.phantom.dicom import StudyInfo, Syntax, uid_for
from training.phantom.pathology import Pathology
from training.phantom.scanner import SHARP
from training.phantom.study import SMALL, Options, WrittenStudy, coronal_reformat, small_study

TINY = replace(SMALL, slices=10, rows=60, columns=71, slice_mm=22.0, pixel_mm=(6.0, 5.5))
MULLER = StudyInfo(
    study_uid=uid_for("test", "müller"),
    patient_name="Müller^Jörg",
    patient_birth_date="19610203",
    patient_sex="M",
    issuer_of_patient_id="Synthetic Hospital",
    character_set="ISO_IR 100",
    acquired_at=datetime(2026, 1, 5, 8, 30),
)

Make = Callable[..., WrittenStudy]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def write(**values: object) -> WrittenStudy:
        folder = tmp_path_factory.mktemp("study")
        return small_study(folder, **values)  # type: ignore[arg-type]

    return write


def _read(study: WrittenStudy, series: int = 0) -> list[FileDataset]:
    return [pydicom.dcmread(p) for p in study.series[series].paths]


def _affine(slices: list[FileDataset]) -> np.ndarray:
    """From the headers alone, as PS3.3 C.7.6.2.1.1 says."""
    first, last = slices[0], slices[-1]
    cosines = np.array(first.ImageOrientationPatient, float)
    row_mm, column_mm = (float(v) for v in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 3] = np.array(first.ImagePositionPatient, float)
    affine[:3, 0] = (np.array(last.ImagePositionPatient, float) - affine[:3, 3]) / (len(slices) - 1)
    affine[:3, 1], affine[:3, 2] = cosines[3:] * row_mm, cosines[:3] * column_mm
    return affine


@pytest.mark.parametrize("syntax", [s for s in Syntax if s is not Syntax.GARBAGE])
@pytest.mark.parametrize("tilt_deg", [(0.0, 0.0), (12.0, -5.0)])
def test_files_read_back_to_the_volume(make: Make, syntax: Syntax, tilt_deg: tuple[float, float]) -> None:
    study = make(options=Options(scans=(replace(TINY, tilt_deg=tilt_deg),), syntax=syntax))
    slices = _read(study)
    assert {str(ds.file_meta.TransferSyntaxUID) for ds in slices} == {syntax.value}
    stored = np.stack([ds.pixel_array for ds in slices])
    hu = stored * float(slices[0].RescaleSlope) + float(slices[0].RescaleIntercept)
    assert np.array_equal(hu, study.volume.hu)
    assert _affine(slices) == pytest.approx(study.volume.affine_lps, abs=1e-3)
    assert [ds.SOPInstanceUID for ds in slices] == list(study.series[0].sop_uids)


@pytest.mark.parametrize("syntax", list(Syntax))
def test_dciodvfy_finds_no_error(make: Make, syntax: Syntax) -> None:
    program = peer("dciodvfy")
    scans = (TINY, replace(TINY, circle=True, kernel=SHARP, thickness_mm=1.25))
    study = make(info=MULLER, options=Options(scans=scans, localizer=True, coronal=True, syntax=syntax))
    assert len(study.series) == 4
    for series in study.series:
        told = subprocess.run(
            [program, series.paths[-1]], capture_output=True, text=True, errors="replace", check=False
        )
        lines = (told.stdout + told.stderr).splitlines()
        assert "CTImage" in lines
        assert not [line for line in lines if line.startswith("Error")]


def test_not_a_chest_passes_dciodvfy_too(make: Make) -> None:
    program = peer("dciodvfy")
    study = make(phantom=Phantom(seed=1, region=Region.HEAD), options=Options(scans=(TINY,)))
    told = subprocess.run([program, study.paths[0]], capture_output=True, text=True, errors="replace", check=False)
    assert not [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]


def test_undecodable_study_has_a_header_and_no_image(make: Make) -> None:
    study = make(options=Options(scans=(TINY,), syntax=Syntax.GARBAGE))
    ds = pydicom.dcmread(study.paths[0])
    assert (ds.Modality, ds.Rows, ds.Columns) == ("CT", TINY.rows, TINY.columns)
    with pytest.raises((NotImplementedError, RuntimeError, ValueError)):
        _ = ds.pixel_array


def test_name_identity_and_age_survive(make: Make) -> None:
    ds = pydicom.dcmread(make(info=MULLER, options=Options(scans=(TINY,))).paths[0])
    assert str(ds.PatientName) == "Müller^Jörg"
    assert ds.SpecificCharacterSet == "ISO_IR 100"
    assert ds.IssuerOfPatientID == "Synthetic Hospital"
    assert (ds.StudyDate, ds.StudyTime, ds.PatientAge) == ("20260105", "083000", "064Y")


def test_uids_follow_from_the_seed_and_differ_within_a_study(make: Make) -> None:
    options = Options(scans=(TINY, TINY), localizer=True)
    one, same, other = (make(seed=s, options=options) for s in (7, 7, 8))
    assert [s.sop_uids for s in one.series] == [s.sop_uids for s in same.series]
    uids = [u for s in one.series for u in (s.series_uid, *s.sop_uids)]
    assert len(set(uids)) == len(uids)
    assert all(len(u) <= 64 for u in uids)
    assert other.study_uid != one.study_uid


def test_only_the_localizer_has_its_own_frame_of_reference(make: Make) -> None:
    study = make(options=Options(scans=(TINY, TINY), localizer=True, coronal=True))
    frames = [pydicom.dcmread(s.paths[0]).FrameOfReferenceUID for s in study.series]
    assert frames[0] == frames[1] == frames[3] != frames[2]
    localizer = pydicom.dcmread(study.series[2].paths[0])
    assert list(localizer.ImageType) == ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def test_first_image_is_the_head_or_for_feet_first_the_feet(make: Make) -> None:
    for position, first in (("HFS", -1), ("FFS", 0)):
        slices = _read(make(options=Options(scans=(TINY,), patient_position=position)))
        assert slices[first].InstanceNumber == 1
        assert slices[0].PatientPosition == position
        assert slices[0].ImagePositionPatient[2] < slices[-1].ImagePositionPatient[2]


def test_padding_is_written_below_every_measured_value(make: Make) -> None:
    ds = _read(make(options=Options(scans=(replace(TINY, circle=True),))))[4]
    assert ds.pixel_array[0, 0] == ds.PixelPaddingValue == -2000
    assert ds.pixel_array[TINY.rows // 2].max() > -200


def test_coronal_image_shows_the_patient_at_the_same_millimetres(make: Make) -> None:
    volume = make(seed=5, options=Options(scans=(SMALL,))).volume
    coronal = coronal_reformat(volume, step_mm=6.0)
    index = np.array([20, 0, 41])  # the topmost row of a coronal image is the last axial slice
    lps = coronal.affine_lps @ (*index, 1.0)
    s, r, c = np.rint((np.linalg.inv(volume.affine_lps) @ lps)[:3]).astype(int)
    assert s == volume.shape[0] - 1
    assert np.array_equal(coronal.hu[20, 0], volume.hu[s, r])
    assert coronal.hu[20, 0, 41] == volume.hu[s, r, c]
    assert coronal.spacing_mm == pytest.approx((6.0, 3.0, 3.0))


def test_two_kernels_show_one_patient(make: Make) -> None:
    scans = (SMALL, replace(SMALL, kernel=SHARP, slices=2 * SMALL.slices, slice_mm=SMALL.slice_mm / 2))
    phantom = Phantom(seed=5, pathology=Pathology(right=0.3))
    study = make(phantom=phantom, options=Options(scans=scans))
    kernels = [pydicom.dcmread(s.paths[0]).ConvolutionKernel for s in study.series]
    assert kernels == ["B31f", "B70f"]
    assert [len(s.paths) for s in study.series] == [32, 64]
    assert study.truth.right_fraction == pytest.approx(0.3, abs=0.015)
