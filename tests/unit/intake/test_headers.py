"""DICOM headers -> records."""

from __future__ import annotations

import tracemalloc
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.unit.intake.making import ASKEW, STUDY, data_set
from triaged.intake import headers
from triaged.intake.headers import Unidentified, read_headers, value_of
from triaged.records import StudyHeader


def written(folder: Path, ds: Dataset) -> Path:
    path = folder / "one.dcm"
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "1.2.3")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3")
    ds.save_as(path, enforce_file_format=True)
    return path


def with_raw(path: Path, before: bytes, after: bytes) -> Path:
    """Damage a value in place; the file stays as long as it was."""
    content = path.read_bytes()
    assert content.count(before) == 1
    assert len(before) == len(after)
    path.write_bytes(content.replace(before, after))
    return path


def test_identity_description_and_geometry_are_read(tmp_path: Path) -> None:
    ds = data_set(7, AccessionNumber="A7", StudyDescription="Thorax", ImageOrientationPatient=list(ASKEW))
    ds.ConvolutionKernel = ["Br38f", "3"]
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "Ærø^Åse"
    study, instance = read_headers(written(tmp_path, ds))
    assert (study.patient_name, study.accession_number, study.study_description) == ("Ærø^Åse", "A7", "Thorax")
    assert study.acquired_on is not None
    assert instance.sop_uid == f"{STUDY}.2.7"
    assert instance.position_mm == (-170.0, -180.0, 35.0)
    assert instance.orientation == pytest.approx(ASKEW)
    assert (instance.kernel, instance.slice_thickness_mm, instance.rows, instance.columns) == ("Br38f", 5.0, 20, 31)
    assert instance.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert instance.has_pixels
    assert not instance.lossy


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_what_cannot_be_identified_says_what_is_missing(tmp_path: Path, missing: str) -> None:
    ds = data_set()
    path = written(tmp_path, ds)
    delattr(ds, missing)
    ds.save_as(path)
    with pytest.raises(Unidentified, match=missing):
        read_headers(path)


def test_bytes_that_are_no_dicom_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.dcm"
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(Unidentified):
        read_headers(path)


def test_a_broken_value_is_a_missing_value_and_no_warning(tmp_path: Path) -> None:
    path = written(tmp_path, data_set(StudyID="x", SeriesNumber=4321, PatientAge="045Y"))
    with_raw(path, b"4321", b"4x21")
    with_raw(path, b"0.7\\0.7", b"0.7\\oops"[:7])
    with_raw(path, b"045Y", b"45 y")
    study, instance = read_headers(path)
    assert instance.series_number is None
    assert instance.pixel_spacing_mm is None
    assert study.patient_age == "45 y"


def test_a_count_of_frames_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = with_raw(written(tmp_path, data_set(NumberOfFrames=9876)), b"9876", b"98A6")
    with pytest.raises(Unidentified, match="NumberOfFrames"):
        read_headers(path)


def test_two_patients_have_two_keys_and_one_patient_has_one(tmp_path: Path) -> None:
    def key(**values: Any) -> str:
        return read_headers(written(tmp_path, data_set(**values)))[1].patient_key

    assert key() == key(InstanceNumber=9)
    assert len({key(), key(PatientID="P2"), key(PatientBirthDate="19510101"), key(IssuerOfPatientID="H")}) == 4
    assert "P1" not in key()


def test_the_first_frame_of_an_enhanced_object_says_where_it_lies(tmp_path: Path) -> None:
    position, orientation, measures = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [1, 2, 3]
    orientation.ImageOrientationPatient = list(ASKEW)
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.6], 2
    shared, frame = Dataset(), Dataset()
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    frame.PlanePositionSequence = Sequence([position])
    ds = data_set(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1", NumberOfFrames=3)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(ds, keyword)
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence([frame, Dataset(), Dataset()])
    _, instance = read_headers(written(tmp_path, ds))
    assert instance.number_of_frames == 3
    assert instance.position_mm == (1.0, 2.0, 3.0)
    assert instance.orientation == pytest.approx(ASKEW)
    assert (instance.pixel_spacing_mm, instance.slice_thickness_mm) == ((0.5, 0.6), 2.0)


@pytest.mark.parametrize(
    ("written_as", "expected"), [("19990310", date(1999, 3, 10)), ("1999.03.10", date(1999, 3, 10)), ("1999", None)]
)
def test_dates_are_understood_as_any_edition_wrote_them(written_as: str, expected: date | None) -> None:
    assert StudyHeader(study_uid="1.2", study_date=written_as).acquired_on == expected


def test_one_attribute_is_read_as_text(tmp_path: Path) -> None:
    ds = data_set(RequestedProcedurePriority="STAT")
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    path = written(tmp_path, ds)
    assert value_of(path, "RequestedProcedurePriority") == "STAT"
    assert value_of(path, "ImageType") == "ORIGINAL\\PRIMARY\\AXIAL"
    assert value_of(path, "ReferringPhysicianName") == ""
    assert value_of(path, "NoSuchKeyword") == ""


def test_a_deflated_object_is_read_and_one_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "MOST_INFLATED", 2 << 20)
    ds = data_set(7)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    study, instance = read_headers(written(tmp_path, ds))
    assert (study.patient_id, instance.sop_uid) == ("P1", f"{STUDY}.2.7")
    assert instance.transfer_syntax_uid == DeflatedExplicitVRLittleEndian

    ds.PixelData = bytes(16 << 20)
    path = written(tmp_path, ds)
    assert path.stat().st_size < 64_000
    tracemalloc.start()
    with pytest.raises(Unidentified, match="inflates to more than 2 MiB"):
        read_headers(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20

    path.write_bytes(path.read_bytes()[:400] + 200 * b"\xff")
    with pytest.raises(Unidentified, match="cannot be read as DICOM"):
        read_headers(path)
