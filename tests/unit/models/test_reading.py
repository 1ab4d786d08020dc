"""DICOM slices to a volume in HU, and every reason to refuse."""

from __future__ import annotations

import pickle
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, generate_uid

from models.reading import NotAVolume, Refusal, read_dicom_series, read_file
from models.volume import PADDING_HU
from triaged.records import Reason

SHAPE = (10, 20, 31)
TURN = np.radians(12.0)
ALONG_ROW = (float(np.cos(TURN)), float(np.sin(TURN)), 0.0)
DOWN_COLUMN = (-float(np.sin(TURN)), float(np.cos(TURN)), 0.0)
ORIGIN = np.array([-11.0, 7.0, 40.0])
SLICE_MM, ROW_MM, COLUMN_MM = 2.5, 0.7, 0.9


def _hu() -> NDArray[np.int16]:
    return np.random.default_rng(3).integers(-1000, 1000, SHAPE).astype(np.int16)


def _slice(hu: NDArray[np.int16], number: int) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"2.25.{number + 100}"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ImagePositionPatient = [*ORIGIN[:2].tolist(), float(ORIGIN[2]) + SLICE_MM * number]
    ds.ImageOrientationPatient = [*ALONG_ROW, *DOWN_COLUMN]
    ds.PixelSpacing = [ROW_MM, COLUMN_MM]
    ds.Rows, ds.Columns = hu.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.PixelData = (hu.astype(np.int32) + 1024).astype("<u2").tobytes()
    return ds


def _write(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    file = FileDataset(str(path), ds, file_meta=meta, preamble=b"\0" * 128)
    file.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def slices() -> list[Dataset]:
    return [_slice(plane, n) for n, plane in enumerate(_hu())]


def _read(slices: list[Dataset], folder: Path, shuffled: bool = True) -> object:
    order = np.random.default_rng(5).permutation(len(slices)) if shuffled else range(len(slices))
    return read_dicom_series([_write(slices[i], folder / f"{n:03d}") for n, i in enumerate(order)])


def _refusal(slices: list[Dataset], folder: Path) -> NotAVolume:
    with pytest.raises(NotAVolume) as caught:
        _read(slices, folder)
    return caught.value


def test_every_refusal_is_a_reason_of_the_daemon() -> None:
    assert {r.value for r in Refusal} <= {r.value for r in Reason}


def test_refusal_crosses_processes() -> None:
    again = pickle.loads(pickle.dumps(NotAVolume(Refusal.GAP, "5 mm")))
    assert (again.code, again.words) == ("gap", "5 mm")


def test_voxels_come_back_where_they_were(slices: list[Dataset], tmp_path: Path) -> None:
    volume = _read(slices, tmp_path)
    np.testing.assert_array_equal(volume.hu, _hu())
    assert volume.sources == tuple((f"2.25.{n + 100}", 1) for n in range(SHAPE[0]))
    expected = ORIGIN + [0, 0, 3 * SLICE_MM] + 4 * ROW_MM * np.array(DOWN_COLUMN) + 5 * COLUMN_MM * np.array(ALONG_ROW)
    np.testing.assert_allclose((volume.affine_lps @ [3, 4, 5, 1])[:3], expected, atol=1e-6)
    assert not volume.lossy


def test_feet_first_scan_ascends_along_its_normal(slices: list[Dataset], tmp_path: Path) -> None:
    for ds in slices:  # prone and feet first: rows run to the patient's right, the normal to the feet
        ds.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    volume = _read(slices, tmp_path)
    np.testing.assert_array_equal(volume.hu, _hu()[::-1])
    assert volume.affine_lps[2, 0] == pytest.approx(-SLICE_MM)


def test_rescale_is_taken_from_each_slice(slices: list[Dataset], tmp_path: Path) -> None:
    stored = (_hu()[4].astype(np.int32) + 1024).astype("<u2")
    slices[4].RescaleSlope, slices[4].RescaleIntercept = "0.5", "-2000"
    volume = _read(slices, tmp_path)
    np.testing.assert_array_equal(volume.hu[4], np.rint(np.maximum(stored * 0.5 - 2000, PADDING_HU)))
    np.testing.assert_array_equal(volume.hu[5], _hu()[5])


def test_padding_becomes_the_padding_value_also_under_a_wrong_sign(slices: list[Dataset], tmp_path: Path) -> None:
    for ds in slices:
        values = np.frombuffer(ds.PixelData, "<u2").astype(np.int16).reshape(SHAPE[1:]).copy()
        values[0, :3] = -2000
        ds.PixelRepresentation, ds.PixelData = 1, values.tobytes()
        ds.add_new(0x00280120, "US", 65536 - 2000)
        ds.RescaleIntercept = 0
    volume = _read(slices, tmp_path)
    assert (volume.hu[:, 0, :3] == PADDING_HU).all()


def test_padding_range_is_padding_from_end_to_end(slices: list[Dataset], tmp_path: Path) -> None:
    for ds in slices:
        ds.add_new(0x00280120, "US", 0)
        ds.add_new(0x00280121, "US", 500)
    volume = _read(slices, tmp_path)
    assert (volume.hu[_hu() <= 500 - 1024] == PADDING_HU).all()
    assert (volume.hu[_hu() > 500 - 1024] == _hu()[_hu() > 500 - 1024]).all()


def test_missing_slice_is_named_with_its_place(slices: list[Dataset], tmp_path: Path) -> None:
    refusal = _refusal(slices[:6] + slices[7:], tmp_path)
    assert refusal.code == Reason.GAP
    assert "5.00 mm between slices 6 and 7 of 9" in refusal.words


def test_positions_rounded_to_a_tenth_are_even(slices: list[Dataset], tmp_path: Path) -> None:
    for n, ds in enumerate(slices):
        ds.ImagePositionPatient = [0, 0, round(0.625 * n, 1)]
    assert _read(slices, tmp_path).spacing_mm[0] == pytest.approx(0.625, abs=0.02)


def test_gantry_tilt_is_refused_by_its_angle(slices: list[Dataset], tmp_path: Path) -> None:
    for ds in slices:
        ds.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(np.radians(14))), -float(np.sin(np.radians(14)))]
    refusal = _refusal(slices, tmp_path)
    assert (refusal.code, "14.0 degrees" in refusal.words) == (Reason.GANTRY_TILT, True)


def test_the_same_slice_sent_twice_under_another_name_counts_once(slices: list[Dataset], tmp_path: Path) -> None:
    again = _slice(_hu()[3], 3)
    again.SOPInstanceUID = "2.25.999"
    volume = _read([*slices, again], tmp_path)
    np.testing.assert_array_equal(volume.hu, _hu())


def test_two_pictures_at_one_position_are_no_volume(slices: list[Dataset], tmp_path: Path) -> None:
    other = _slice(_hu()[8], 3)
    other.SOPInstanceUID = "2.25.999"
    assert _refusal([*slices, other], tmp_path).code == Reason.DUPLICATE_POSITIONS


def test_two_phases_are_no_volume(slices: list[Dataset], tmp_path: Path) -> None:
    second = [_slice(plane, n) for n, plane in enumerate(_hu())]
    for ds in second:
        ds.SOPInstanceUID = generate_uid()
    assert _refusal(slices + second, tmp_path).code == Reason.DUPLICATE_POSITIONS


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PixelSpacing", [0.7, 0.8]),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1, 0]),
        ("ImagePositionPatient", None),
        ("SamplesPerPixel", 3),
    ],
)
def test_one_slice_that_does_not_fit_is_refused(
    slices: list[Dataset], tmp_path: Path, keyword: str, value: object
) -> None:
    setattr(slices[4], keyword, value)
    assert _refusal(slices, tmp_path).code == Reason.GEOMETRY


def test_size_is_refused_before_anything_is_decoded(slices: list[Dataset], tmp_path: Path) -> None:
    for ds in slices:
        ds.PixelData = b"\0\0"  # decoding would fail
    paths = [_write(ds, tmp_path / f"{n}") for n, ds in enumerate(slices)]
    with pytest.raises(NotAVolume) as caught:
        read_dicom_series(paths, max_voxels=10 * 20 * 31 - 1)
    assert caught.value.code == Reason.TOO_LARGE


def test_short_pixel_data_is_never_padded(slices: list[Dataset], tmp_path: Path) -> None:
    slices[4].PixelData = slices[4].PixelData[:-20]
    assert _refusal(slices, tmp_path).code == Reason.UNREADABLE


def test_raw_pixels_under_a_compressed_syntax_are_unreadable(slices: list[Dataset], tmp_path: Path) -> None:
    paths = [_write(ds, tmp_path / f"{n}") for n, ds in enumerate(slices)]
    content = paths[4].read_bytes()
    old, new = ExplicitVRLittleEndian.encode() + b"\0", JPEGLSLossless.encode() + b"\0"
    at = content.index(b"UI", content.index(b"\x02\x00\x10\x00UI"))
    length = int.from_bytes(content[at + 2 : at + 4], "little")
    assert content[at + 4 : at + 4 + length] == old
    new += b"\0" * (len(new) % 2)
    group = int.from_bytes(content[140:144], "little") + len(new) - len(old)
    patched = content[: at + 2] + len(new).to_bytes(2, "little") + new + content[at + 4 + length :]
    paths[4].write_bytes(patched[:140] + group.to_bytes(4, "little") + patched[144:])
    with pytest.raises(NotAVolume) as caught:
        read_dicom_series(paths)
    assert caught.value.code == Reason.UNREADABLE
    assert "does not match" in caught.value.words or "cannot be decoded" in caught.value.words


@pytest.mark.parametrize("kind", ["LOCALIZER", "MIP", "PERFUSION"])
def test_projections_and_maps_are_refused_from_the_header(slices: list[Dataset], tmp_path: Path, kind: str) -> None:
    slices[0].ImageType = ["ORIGINAL", "PRIMARY", kind]
    assert _refusal(slices, tmp_path).code == Reason.DERIVED_ONLY


def test_lossy_travels_with_the_volume(slices: list[Dataset], tmp_path: Path) -> None:
    slices[7].LossyImageCompression = "01"
    assert _read(slices, tmp_path).lossy


def test_no_dicom_at_all_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"not an image" * 40)
    with pytest.raises(NotAVolume) as caught:
        read_dicom_series([tmp_path / "a"])
    assert caught.value.code == Reason.UNREADABLE


def _enhanced(hu: NDArray[np.int16]) -> Dataset:
    ds = _slice(hu[0], 0)
    ds.SOPClassUID, ds.NumberOfFrames = EnhancedCTImageStorage, len(hu)
    ds.PixelData = (hu.astype(np.int32) + 1024).astype("<u2").tobytes()
    shared, frames = Dataset(), []
    orientation, measures, transform = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(ds.ImageOrientationPatient)
    measures.PixelSpacing = list(ds.PixelSpacing)
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = 1, -1024, "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [transform]
    for n in range(len(hu)):
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = [*ORIGIN[:2].tolist(), float(ORIGIN[2]) - SLICE_MM * n]
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], frames
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, keyword)
    return ds


def test_enhanced_multiframe_takes_its_geometry_from_the_frames(tmp_path: Path) -> None:
    volume = read_dicom_series([_write(_enhanced(_hu()), tmp_path / "one")])
    np.testing.assert_array_equal(volume.hu, _hu()[::-1])
    assert volume.sources[0] == ("2.25.100", SHAPE[0])
    assert volume.spacing_mm == pytest.approx((SLICE_MM, ROW_MM, COLUMN_MM))


def test_enhanced_map_that_is_not_in_hu_is_refused(tmp_path: Path) -> None:
    ds = _enhanced(_hu())
    ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleType = "ED"
    with pytest.raises(NotAVolume) as caught:
        read_dicom_series([_write(ds, tmp_path / "one")])
    assert caught.value.code == Reason.DERIVED_ONLY


def test_multiframe_without_geometry_is_refused(tmp_path: Path) -> None:
    ds = _enhanced(_hu())
    del ds.PerFrameFunctionalGroupsSequence
    with pytest.raises(NotAVolume) as caught:
        read_dicom_series([_write(ds, tmp_path / "one")])
    assert caught.value.code == Reason.MULTIFRAME


def test_nifti_and_nrrd_of_one_volume_read_alike(tmp_path: Path) -> None:
    hu = _hu()
    image = SimpleITK.GetImageFromArray(hu)
    image.SetSpacing((COLUMN_MM, ROW_MM, SLICE_MM))
    image.SetOrigin((1.0, 2.0, 3.0))
    image.SetDirection((*np.stack([ALONG_ROW, DOWN_COLUMN, (0, 0, 1)], axis=1).ravel(),))
    SimpleITK.WriteImage(image, str(tmp_path / "v.nrrd"))
    lps = np.eye(4)
    lps[:3, :3] = np.stack([ALONG_ROW, DOWN_COLUMN, (0, 0, 1)], axis=1) * [COLUMN_MM, ROW_MM, SLICE_MM]
    lps[:3, 3] = (1, 2, 3)
    # stored feet last and right to left swapped: reading must undo both
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[:3, 3] = (SHAPE[2] - 1, 0, SHAPE[0] - 1)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps @ flip
    nibabel.save(nibabel.Nifti1Image(hu.transpose(2, 1, 0)[::-1, :, ::-1], ras), tmp_path / "v.nii.gz")
    a, b = read_file(tmp_path / "v.nrrd"), read_file(tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(a.hu, hu)
    np.testing.assert_array_equal(b.hu, hu)
    np.testing.assert_allclose(a.affine_lps, b.affine_lps, atol=1e-4)
    np.testing.assert_allclose((a.affine_lps @ [0, 0, 0, 1])[:3], (1, 2, 3), atol=1e-6)


def test_a_file_that_is_no_volume_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "v.nii").write_bytes(b"0" * 400)
    with pytest.raises(NotAVolume) as caught:
        read_file(tmp_path / "v.nii")
    assert caught.value.code == Reason.UNREADABLE
