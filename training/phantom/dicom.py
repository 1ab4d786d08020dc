"""A volume as the CT Image Storage instances a scanner would send (PS3.3 A.3), with nothing real in them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from models.volume import PADDING_HU, Volume

NAMESPACE = uuid.UUID("5d3c7b0e-52cf-4f0e-9a55-7d2a5c1b9e10")
IMPLEMENTATION_UID = f"2.25.{NAMESPACE.int}"
PADDING_STORED = -2000  # what several scanners write outside the circle
LUNG_WINDOW, SOFT_WINDOW = (-600, 1500), (40, 400)


def uid_for(*parts: object) -> str:
    """The same UID for the same parts, for ever (PS3.5 B.2: derived from a UUID)."""
    return f"2.25.{uuid.uuid5(NAMESPACE, '/'.join(map(str, parts))).int}"


class Syntax(StrEnum):
    """How the pixels are encoded. GARBAGE declares a retired JPEG process and holds no image at all."""

    IMPLICIT = str(ImplicitVRLittleEndian)
    EXPLICIT = str(ExplicitVRLittleEndian)
    JPEG_LS = str(JPEGLSLossless)
    RLE = str(RLELossless)
    GARBAGE = "1.2.840.10008.1.2.4.55"


@dataclass(frozen=True, kw_only=True)
class StudyInfo:
    """What every instance of a study says about patient and study. It was taken just now, unless told."""

    study_uid: str
    patient_name: str = "Demo^Anna"
    patient_id: str = "DEMO-0001"
    patient_birth_date: str = "19610203"
    patient_sex: str = "F"
    issuer_of_patient_id: str = ""
    accession_number: str = "A0001"
    study_id: str = "1"
    study_description: str = "CT CHEST"
    referring_physician: str = ""
    body_part: str = "CHEST"
    character_set: str = "ISO_IR 192"
    acquired_at: datetime = field(default_factory=datetime.now)


@dataclass(frozen=True, kw_only=True)
class SeriesInfo:
    """What every instance of a series says. `padding` writes the unmeasured voxels as PixelPaddingValue."""

    series_uid: str
    frame_of_reference_uid: str
    number: int = 2
    description: str = "Thorax 5.0 B31f"
    kernel: str = "B31f"
    thickness_mm: float = 5.0
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")
    patient_position: str = "HFS"
    window: tuple[int, int] = SOFT_WINDOW  # centre, width
    syntax: Syntax = Syntax.EXPLICIT
    padding: bool = False


@dataclass(frozen=True, kw_only=True)
class WrittenSeries:
    """Files of one series, in the order of the volume's slices."""

    series_uid: str
    sop_uids: tuple[str, ...]
    paths: tuple[Path, ...]


def write_series(volume: Volume, folder: Path, study: StudyInfo, series: SeriesInfo) -> WrittenSeries:
    """Write one file per slice into `folder`. SOP Instance UIDs follow from the series UID and the slice."""
    folder.mkdir(parents=True, exist_ok=True)
    sop_uids, paths = [], []
    for k, ds in enumerate(instances(volume, study, series)):
        path = folder / f"S{series.number:02d}I{k + 1:04d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        sop_uids.append(str(ds.SOPInstanceUID))
        paths.append(path)
    return WrittenSeries(series_uid=series.series_uid, sop_uids=tuple(sop_uids), paths=tuple(paths))


def instances(volume: Volume, study: StudyInfo, series: SeriesInfo) -> Iterator[Dataset]:
    """The series' data sets, slice by slice. InstanceNumber counts from the side that entered the gantry first."""
    count = volume.shape[0]
    upward = float(volume.affine_lps[2, 0]) > 0
    head_first = series.patient_position.startswith("HF")
    for k in range(count):
        ds = Dataset()
        ds.SOPClassUID = CTImageStorage
        ds.SOPInstanceUID = uid_for(series.series_uid, k)
        ds.InstanceNumber = count - k if upward == head_first else k + 1
        _describe_study(ds, study)
        _describe_series(ds, study, series)
        _place(ds, volume, k, series)
        _fill_pixels(ds, volume.hu[k], series)
        yield ds


def _describe_study(ds: Dataset, study: StudyInfo) -> None:
    at = study.acquired_at
    ds.SpecificCharacterSet = study.character_set
    ds.PatientName = study.patient_name
    ds.PatientID = study.patient_id
    ds.PatientBirthDate = study.patient_birth_date
    ds.PatientSex = study.patient_sex
    if study.issuer_of_patient_id:
        ds.IssuerOfPatientID = study.issuer_of_patient_id
    if study.patient_birth_date:
        born = study.patient_birth_date
        years = at.year - int(born[:4]) - (at.strftime("%m%d") < born[4:])
        ds.PatientAge = f"{years:03d}Y"
    ds.StudyInstanceUID = study.study_uid
    ds.StudyDate, ds.StudyTime = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    ds.AccessionNumber = study.accession_number
    ds.ReferringPhysicianName = study.referring_physician
    ds.StudyID = study.study_id
    ds.StudyDescription = study.study_description


def _describe_series(ds: Dataset, study: StudyInfo, series: SeriesInfo) -> None:
    taken = study.acquired_at + timedelta(seconds=20 * series.number)
    ds.Modality = "CT"
    ds.SeriesInstanceUID = series.series_uid
    ds.SeriesNumber = series.number
    ds.SeriesDescription = series.description
    for group in ("Series", "Acquisition", "Content"):
        setattr(ds, f"{group}Date", taken.strftime("%Y%m%d"))
        setattr(ds, f"{group}Time", taken.strftime("%H%M%S"))
    ds.Manufacturer = "triaged"
    ds.ManufacturerModelName = "Phantom"
    ds.DeviceSerialNumber = "1"
    ds.SoftwareVersions = "1"
    ds.InstitutionName = "Synthetic Hospital"
    ds.StationName = "CT1"
    ds.BodyPartExamined = study.body_part
    ds.PatientPosition = series.patient_position
    ds.ImageType = list(series.image_type)
    ds.AcquisitionNumber = 1
    ds.KVP = "120"
    ds.XRayTubeCurrent = "180"
    ds.ExposureTime = "500"
    ds.ConvolutionKernel = series.kernel
    ds.SliceThickness = f"{series.thickness_mm:g}"
    ds.GantryDetectorTilt = "0"
    ds.FrameOfReferenceUID = series.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""


def _place(ds: Dataset, volume: Volume, k: int, series: SeriesInfo) -> None:
    """PS3.3 C.7.6.2.1.1: the first three cosines are the direction of a row, that is of the growing column index."""
    affine = volume.affine_lps
    _, row_mm, column_mm = volume.spacing_mm
    along_row, along_column = affine[:3, 2] / column_mm, affine[:3, 1] / row_mm
    position = affine[:3, 3] + k * affine[:3, 0]
    ds.ImagePositionPatient = [_decimal(v) for v in position]
    ds.ImageOrientationPatient = [_decimal(v) for v in (*along_row, *along_column)]
    ds.PixelSpacing = [_decimal(row_mm), _decimal(column_mm)]
    ds.SliceLocation = _decimal(float(position @ np.cross(along_row, along_column)))


def _decimal(value: float) -> str:
    """A number in at most 16 characters (VR DS)."""
    return f"{round(float(value), 8) + 0.0:.9g}"


def _fill_pixels(ds: Dataset, hu: NDArray[np.int16], series: SeriesInfo) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated = 16
    ds.WindowCenter, ds.WindowWidth = series.window
    ds.RescaleSlope, ds.RescaleType = "1", "HU"
    ds.LossyImageCompression = "00"
    if series.padding:  # signed, because the padding lies below what 12 bits hold
        stored = np.where(hu <= PADDING_HU, PADDING_STORED, hu).astype("<i2")
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.RescaleIntercept = 16, 15, 1, "0"
        ds.PixelPaddingValue = PADDING_STORED
    else:
        stored = (np.clip(hu, -1024, 3071) + 1024).astype("<u2")
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.RescaleIntercept = 12, 11, 0, "-1024"
    _encode(ds, stored, series.syntax)


def _encode(ds: Dataset, stored: NDArray[np.generic], syntax: Syntax) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
    if syntax is Syntax.IMPLICIT:
        meta.TransferSyntaxUID = ImplicitVRLittleEndian
    elif syntax is Syntax.GARBAGE:
        meta.TransferSyntaxUID = UID(syntax.value)
        noise = np.random.default_rng(ds.InstanceNumber).integers(0, 255, 4096, np.uint8).tobytes()
        ds.PixelData = encapsulate([noise])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    elif syntax is not Syntax.EXPLICIT:
        ds.compress(UID(syntax.value), generate_instance_uid=False)
