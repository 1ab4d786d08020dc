"""CT headers, masks and findings the result tests share: small, lopsided, and as odd as scanners make them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from triaged.records import Choice, Findings, Flag, Grade, ModelIdentity, Provenance
from triaged.results.build import Masks, ResultInput

SHAPE = (10, 20, 31)
STUDY = generate_uid(entropy_srcs=["study"])
SERIES = generate_uid(entropy_srcs=["series"])
FRAME = generate_uid(entropy_srcs=["frame"])
INSTALLATION = generate_uid(entropy_srcs=["installation"])
MADE_AT = datetime(2026, 11, 20, 9, 8, 7, 654321, tzinfo=UTC)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
FEET_FIRST_PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
# Turned by 20 degrees about x and 10 about z: no axis of the grid is an axis of the patient.
OBLIQUE = (0.984808, 0.173648, 0.0, -0.163176, 0.925417, 0.342020)


def ct_series(
    *,
    shape: tuple[int, int, int] = SHAPE,
    orientation: tuple[float, ...] = AXIAL,
    step_mm: float = 2.5,
    attributes: dict[str, Any] | None = None,
) -> list[Dataset]:
    """Headers of a CT series as they come from disk. A negative step gives slices sent from head to feet."""
    normal = np.cross(orientation[:3], orientation[3:])
    origin = np.array([-123.4, -56.7, 89.1])
    return [
        reread(_slice(shape, orientation, origin + k * step_mm * normal, k, attributes or {})) for k in range(shape[0])
    ]


def _slice(
    shape: tuple[int, int, int],
    orientation: tuple[float, ...],
    position: NDArray[np.float64],
    k: int,
    attributes: dict[str, Any],
) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["instance", str(k)])
    ds.StudyDate, ds.StudyTime = "20261119", "235959"
    ds.AccessionNumber = "ACC-77"
    ds.Modality = "CT"
    ds.Manufacturer, ds.ManufacturerModelName = "Scanner Works", "Spiral 64"
    ds.InstitutionName = "Hospital"
    ds.ReferringPhysicianName = "Referrer^Anna"
    ds.StudyDescription = "CT CHEST"
    ds.PatientName, ds.PatientID = "Test^Case", "PID-1"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19550102", "F", "071Y"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, SERIES, FRAME
    ds.StudyID = "S1"
    ds.SeriesNumber, ds.InstanceNumber = 3, k + 1
    ds.PositionReferenceIndicator = ""
    ds.ImageOrientationPatient = [f"{v:.6f}" for v in orientation]
    ds.ImagePositionPatient = [f"{v:.6f}" for v in position]
    ds.PixelSpacing = ["0.7", "0.8"]
    ds.SliceThickness = "2.5"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def enhanced(order: tuple[int, ...]) -> tuple[Dataset, list[int]]:
    """The series of `ct_series` as one Enhanced CT whose frames stand in this order; also where each frame belongs."""
    slices = ct_series()
    ds = Dataset()
    for element in slices[0]:
        if element.keyword not in {
            "ImagePositionPatient",
            "ImageOrientationPatient",
            "PixelSpacing",
            "SliceThickness",
        }:
            ds.add(element)
    ds.SOPClassUID = EnhancedCTImageStorage
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["enhanced"])
    ds.NumberOfFrames = len(order)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = slices[0].ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = slices[0].PixelSpacing, slices[0].SliceThickness
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [_frame(slices[k]) for k in order]
    return reread(ds), list(order)


def _frame(single: Dataset) -> Dataset:
    group, position = Dataset(), Dataset()
    position.ImagePositionPatient = single.ImagePositionPatient
    group.PlanePositionSequence = [position]
    return group


def reread(ds: Dataset) -> Dataset:
    """The header after a walk over the disk, where the daemon has it from."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    file = Dataset(ds)
    file.file_meta = meta
    out = BytesIO()
    dcmwrite(out, file, enforce_file_format=True)
    out.seek(0)
    return dcmread(out)


def lungs(shape: tuple[int, int, int] = SHAPE, sides: str = "right left") -> NDArray[np.uint8]:
    """Two boxes of unequal size that reach neither the first nor the last slice."""
    mask = np.zeros(shape, np.uint8)
    if "right" in sides:
        mask[2:8, 3:15, 2:13] = 1
    if "left" in sides:
        mask[3:9, 5:17, 17:27] = 2
    return mask


def lesions(sides: str, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.bool_]:
    """A lopsided lesion in the lower part of each named lung."""
    mask = np.zeros(shape, np.bool_)
    if "right" in sides:
        mask[2:5, 9:14, 3:6] = True
        mask[2, 9, 6:9] = True
    if "left" in sides:
        mask[3:5, 12:16, 20:26] = True
    return mask


def masks_for(source: list[Dataset], lesion_sides: str = "", lung_sides: str = "right left") -> Masks:
    return Masks(
        lungs=lungs(sides=lung_sides),
        lesions=lesions(lesion_sides),
        sources=tuple((str(s.SOPInstanceUID), 1) for s in source),
    )


LUNGS = ModelIdentity(role="lungs", name="region-growing", version="1.0", parameters="threshold=-320 HU")
TRIAGE = ModelIdentity(role="triage", name="thresholding", version="1.0", parameters="threshold=-700 HU")
NETWORK = ModelIdentity(role="triage", name="ct-triage", version="0.1", sha256="ab" * 32, synthetic=True)


def findings_for(masks: Masks, voxel_ml: float = 0.7 * 0.8 * 2.5 / 1000, **changes: Any) -> Findings:
    """The findings that belong to these masks."""
    volume = [float((masks.lungs == label).sum()) * voxel_ml for label in (1, 2)]
    assert masks.lesions is not None
    lesion = [float(((masks.lungs == label) & masks.lesions).sum()) * voxel_ml for label in (1, 2)]
    fraction = [les / vol if vol else None for les, vol in zip(lesion, volume, strict=True)]
    worst = max(f for f in fraction if f is not None)
    found = Findings(
        affected_fraction_right=fraction[0],
        affected_fraction_left=fraction[1],
        affected_fraction=worst,
        lung_volume_ml_right=volume[0],
        lung_volume_ml_left=volume[1],
        lesion_volume_ml_right=lesion[0],
        lesion_volume_ml_left=lesion[1],
        ct_grade=Grade.CT1 if worst else Grade.CT0,
        provenance=Provenance(
            models=(LUNGS, TRIAGE),
            triaged_version="0.1.0",
            device="cpu",
            config_digest="c0ffee",
            seconds={"lungs": 1.5},
        ),
    )
    return replace(found, **changes)


def with_network(findings: Findings, probability: float = 0.83) -> Findings:
    """The same findings by a network that was trained on phantoms and never calibrated."""
    return replace(
        findings,
        covid_probability=probability,
        flags=(Flag.UNCALIBRATED, Flag.RESEARCH_WEIGHTS),
        provenance=replace(findings.provenance, models=(LUNGS, NETWORK)),
    )


def case(
    source: list[Dataset] | None = None,
    lesion_sides: str = "right left",
    lung_sides: str = "right left",
    **changes: Any,
) -> ResultInput:
    source = ct_series() if source is None else source
    masks = masks_for(source, lesion_sides, lung_sides)
    whole = ResultInput(
        source=source,
        findings=findings_for(masks),
        choice=Choice(
            series_uid=SERIES, reason="thinnest axial, 2.5 mm, lung kernel", slices=10, input_digest="d" * 64
        ),
        masks=masks,
        projection=np.random.default_rng(3).integers(0, 256, (40, 31, 3), np.uint8),
        installation_uid=INSTALLATION,
        made_at=MADE_AT,
    )
    return replace(whole, **changes)
