"""What a result object takes over from the CT it was made from, and what the builders may know of that CT.

The builders see only UIDs and geometry (`grid_of`); patient and study go from the CT into the finished object element
by element (`carry`). So a malformed sex or a name in any character set neither stops a result nor is changed by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DSfloat

from triaged.results.uids import derive

# Type 2 in the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): present, if only empty.
REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
OPTIONAL = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "OtherPatientIDsSequence",
    "PatientBirthTime",
    "EthnicGroup",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "ProcedureCodeSequence",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)
LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
GRID = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Modality",
    "Rows",
    "Columns",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "SliceThickness",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *LOSSY,
)


def carry(source: Dataset, into: Dataset) -> None:
    """Make patient, study, issuers and character set of `into` those of `source`, element by element.

    Bytes that do not decode in the character set their own header declares are the one thing that changes: they are
    written as that set's replacement character.
    """
    for keyword in (*REQUIRED, *OPTIONAL):
        if keyword in source:
            into.add(deepcopy(source[keyword]))
        elif keyword in REQUIRED:
            setattr(into, keyword, None)
        elif keyword in into:
            delattr(into, keyword)


def carry_lossy(source: Sequence[Dataset], into: Dataset) -> None:
    """An image once compressed with loss stays marked, whatever is derived from it (PS3.3 C.7.6.1.1.5)."""
    marked = [s for s in source if str(s.get("LossyImageCompression", "")) == "01"]
    if not marked:
        return
    for keyword in LOSSY:
        if keyword in marked[0]:
            into.add(deepcopy(marked[0][keyword]))


def grid_of(source: Sequence[Dataset]) -> list[Dataset]:
    """The same instances with UIDs and geometry only, in the same order; one Frame of Reference for all.

    A CT without a Frame of Reference breaks its own IOD; it gets one that follows from its series.
    """
    frames = {str(s.get("FrameOfReferenceUID", "")) for s in source}
    if len(frames) != 1:
        raise ValueError(f"the source spans {len(frames)} Frames of Reference; a result has one")
    frame_uid = frames.pop() or derive(str(source[0].SeriesInstanceUID), "frame of reference")
    thickness = None if "NumberOfFrames" in source[0] else _distance_mm(source)
    return [_grid(s, frame_uid, thickness) for s in source]


def _grid(source: Dataset, frame_uid: str, thickness_mm: float | None) -> Dataset:
    grid = Dataset()
    for keyword in REQUIRED:
        setattr(grid, keyword, None)
    for keyword in GRID:
        if keyword in source:
            grid.add(source[keyword])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        if keyword in source:
            setattr(grid, keyword, _decimals(source[keyword].value))
    grid.FrameOfReferenceUID = frame_uid
    if thickness_mm is not None and not grid.get("SliceThickness"):  # type 2 in the CT, type 1 in the SEG
        grid.SliceThickness = DSfloat(thickness_mm, auto_format=True)
    return grid


def _decimals(values: MultiValue[DSfloat]) -> list[DSfloat]:
    """The numbers in at most 16 characters each (PS3.5 table 6.2-1); scanners do send longer ones."""
    return [v if len(str(v)) <= 16 else DSfloat(float(v), auto_format=True) for v in values]


def _distance_mm(source: Sequence[Dataset]) -> float:
    """Median distance between neighbouring slices along their normal; 1 for a single slice."""
    if len(source) < 2:
        return 1.0
    iop = np.array(source[0].ImageOrientationPatient, float)
    normal = np.cross(iop[:3], iop[3:])
    along = np.sort([np.array(s.ImagePositionPatient, float) @ normal for s in source])
    return float(np.median(np.diff(along)))
