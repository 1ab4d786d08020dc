"""DICOM headers -> records. Every tag that intake and selection use is named here, and nowhere else.

Pixel data is never read. A value that cannot be understood is a missing value; an instance that does not say which
study, series and object it is cannot be kept, and says so.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.multival import MultiValue
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from triaged.errors import TriagedError
from triaged.records import InstanceHeader, StudyHeader

T = TypeVar("T")

# PS3.5 annex A: these may or must lose information. An explicit LossyImageCompression = 00 is believed.
MAY_BE_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000})

# What pydicom raises on bytes that are not what they should be.
_BROKEN = (
    InvalidDicomError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError, EOFError, OSError,
    IndexError, OverflowError, RecursionError, LookupError, zlib.error,
)  # fmt: skip

_TAGS = [
    "SpecificCharacterSet", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "PatientID",
    "PatientName", "PatientBirthDate", "PatientSex", "PatientAge", "IssuerOfPatientID", "AccessionNumber",
    "StudyDescription", "StudyDate", "StudyTime", "InstitutionName", "StationName", "Modality", "ImageType",
    "SeriesDescription", "SeriesNumber", "InstanceNumber", "AcquisitionNumber", "BodyPartExamined",
    "ConvolutionKernel", "ContrastBolusAgent", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "GantryDetectorTilt",
    "FrameOfReferenceUID", "Manufacturer", "ManufacturerModelName", "LossyImageCompression", "BitsAllocated",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip

# What one deflated object may inflate to: an enhanced CT of a thousand slices. A few kilobytes can become gigabytes.
MOST_INFLATED = 512 << 20
PIECE = 1 << 20

_quiet = threading.Lock()


class Unidentified(TriagedError):
    """A file or data set that does not say what it is. The message names attributes, never values."""


@contextmanager
def quietly() -> Iterator[None]:
    """pydicom warns about bad values by quoting them, and a patient's name is a value.

    The warning filters belong to the process: readers take turns.
    """
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_headers(path: Path) -> tuple[StudyHeader, InstanceHeader]:
    """What a file says about its study and itself. Raises Unidentified; never reads pixel data."""
    with quietly():
        ds, syntax = _read(path, _TAGS)
        study_uid = _required(ds, "StudyInstanceUID")
        instance = _instance(ds, study_uid, syntax)
        return _study(ds, study_uid), instance


def value_of(path: Path, keyword: str) -> str:
    """One attribute of a file as text, "" where it is absent, unknown or malformed. Several values joined by "\\"."""
    with quietly():
        try:
            ds, _ = _read(path, ["SpecificCharacterSet", keyword])
        except Unidentified:
            return ""
        return _text(ds, keyword)


def _read(path: Path, tags: Sequence[str]) -> tuple[Dataset, str]:
    try:
        if _may_be_deflated(path):
            _require_bounded(path)
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(tags), force=True)
        syntax = str(getattr(ds, "file_meta", {}).get("TransferSyntaxUID", "") or _guessed_syntax(ds))
    except _BROKEN as error:
        raise Unidentified(f"the data set cannot be read as DICOM ({type(error).__name__})") from error
    return ds, syntax


def _may_be_deflated(path: Path) -> bool:
    # Asked of every object, so it does not parse: File Meta lies in the first kilobyte. A false alarm costs time only.
    with path.open("rb") as file:
        return DeflatedExplicitVRLittleEndian.encode() in file.read(1024)


def _require_bounded(path: Path) -> None:
    """A deflated data set is inflated whole by whoever reads it, here and later: what would not fit is refused.

    Raises Unidentified. Inflates piece by piece and keeps nothing.
    """
    with path.open("rb") as file:
        read_preamble(file, force=True)
        if _read_file_meta_info(file).get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0  # PS3.5 A.5: RFC 1951, without a zlib header
        while not inflate.eof and (piece := inflate.unconsumed_tail or file.read(PIECE)):
            size += len(inflate.decompress(piece, PIECE))
            if size > MOST_INFLATED:
                raise Unidentified(f"the deflated data set inflates to more than {MOST_INFLATED >> 20} MiB")


def _guessed_syntax(ds: Dataset) -> UID:
    """For a file without File Meta (folder import only): what pydicom took it for."""
    implicit, little = ds.original_encoding
    if implicit:
        return pydicom.uid.ImplicitVRLittleEndian
    return pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian


def _study(ds: Dataset, study_uid: str) -> StudyHeader:
    return StudyHeader(
        study_uid=study_uid,
        patient_id=_text(ds, "PatientID"),
        patient_name=_text(ds, "PatientName"),
        patient_birth_date=_text(ds, "PatientBirthDate"),
        patient_sex=_text(ds, "PatientSex"),
        patient_age=_text(ds, "PatientAge"),
        issuer_of_patient_id=_text(ds, "IssuerOfPatientID"),
        accession_number=_text(ds, "AccessionNumber"),
        study_description=_text(ds, "StudyDescription"),
        study_date=_text(ds, "StudyDate"),
        study_time=_text(ds, "StudyTime"),
        institution=_text(ds, "InstitutionName"),
        station=_text(ds, "StationName"),
    )


def _instance(ds: Dataset, study_uid: str, syntax: str) -> InstanceHeader:
    frame = _first_frame(ds)
    lossy = _text(ds, "LossyImageCompression")
    tilt = _number(frame, "GantryDetectorTilt")
    return InstanceHeader(
        study_uid=study_uid,
        series_uid=_required(ds, "SeriesInstanceUID"),
        sop_uid=_required(ds, "SOPInstanceUID"),
        sop_class_uid=_required(ds, "SOPClassUID"),
        transfer_syntax_uid=syntax,
        modality=_text(ds, "Modality").upper(),
        image_type=tuple(v.strip().upper() for v in _values(ds, "ImageType")),
        series_description=_text(ds, "SeriesDescription"),
        series_number=_whole(ds, "SeriesNumber"),
        instance_number=_whole(ds, "InstanceNumber"),
        acquisition_number=_whole(ds, "AcquisitionNumber"),
        body_part=_text(ds, "BodyPartExamined").upper(),
        kernel=next(iter(_values(frame, "ConvolutionKernel")), "").strip(),
        contrast_agent=_text(ds, "ContrastBolusAgent"),
        rows=_structural(ds, "Rows"),
        columns=_structural(ds, "Columns"),
        number_of_frames=_structural(ds, "NumberOfFrames") or 1,
        samples_per_pixel=_structural(ds, "SamplesPerPixel") or 1,
        position_mm=_point(frame, "ImagePositionPatient"),
        orientation=_orientation(frame),
        pixel_spacing_mm=_spacing(frame),
        slice_thickness_mm=_number(frame, "SliceThickness"),
        gantry_tilt_deg=tilt,
        frame_of_reference_uid=_text(ds, "FrameOfReferenceUID"),
        manufacturer=_text(ds, "Manufacturer"),
        model_name=_text(ds, "ManufacturerModelName"),
        lossy=lossy == "01" or (lossy != "00" and syntax in MAY_BE_LOSSY),
        # Bits Allocated is type 1 in every image (PS3.3 C.7.6.3): a screen save without pixels has none.
        has_pixels="BitsAllocated" in ds,
        patient_key=_patient_key(ds),
    )


def _patient_key(ds: Dataset) -> str:
    """Equal for one patient, different for two, and no way back. Empty where the images name no patient."""
    identity = [_text(ds, k) for k in ("PatientID", "IssuerOfPatientID", "PatientBirthDate")]
    if not any(identity):
        return ""
    return hashlib.sha256("\x1f".join(identity).encode()).hexdigest()


# -- enhanced multi-frame (PS3.3 C.7.6.16) --------------------------------------------------------------------------


def _first_frame(ds: Dataset) -> Dataset:
    """The attributes of the first frame, whichever functional group holds them; the data set itself where none do."""
    merged = Dataset()
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in _or_none(lambda k=keyword: ds.get(k)) or []:  # type: ignore[misc]
            for element in group:
                if element.VR == "SQ" and element.value:
                    merged.update(element.value[0])
            break
    if not len(merged):
        return ds
    merged.update({e.tag: e for e in ds if e.keyword in {"ConvolutionKernel", "SliceThickness"}})
    return merged


# -- one value ----------------------------------------------------------------------------------------------------


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except _BROKEN:
        return None


def _values(ds: Dataset, keyword: str) -> list[str]:
    value: Any = _or_none(lambda: ds.get(keyword))
    if value is None:
        return []
    many = value if isinstance(value, MultiValue | list | tuple) else [value]
    texts = [v.decode("ascii", "replace") if isinstance(v, bytes) else str(v) for v in many]
    return [t.strip(" \0") for t in texts]


def _text(ds: Dataset, keyword: str) -> str:
    return "\\".join(_values(ds, keyword))


def _required(ds: Dataset, keyword: str) -> str:
    value = _text(ds, keyword)
    if not value:
        raise Unidentified(f"{keyword} is missing")
    return value


def _numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    numbers = _or_none(lambda: tuple(float(v) for v in _values(ds, keyword)))
    if numbers is None or not all(abs(n) < 1e9 for n in numbers):  # NaN and infinity fail this too
        return ()
    return numbers


def _number(ds: Dataset, keyword: str) -> float | None:
    return next(iter(_numbers(ds, keyword)), None)


def _whole(ds: Dataset, keyword: str) -> int | None:
    number = _number(ds, keyword)
    return None if number is None else int(number)


def _structural(ds: Dataset, keyword: str) -> int | None:
    """A count without which the pixels cannot be laid out: present and not a number is refused, not guessed."""
    if keyword not in ds:
        return None
    number = _whole(ds, keyword)
    if number is None and (_or_none(lambda: ds.get_item(keyword)) is None or _raw(ds, keyword)):
        raise Unidentified(f"{keyword} is not a number")
    return number


def _raw(ds: Dataset, keyword: str) -> bytes | str:
    item: Any = ds.get_item(keyword)
    return getattr(item, "value", b"") or b""


def _point(ds: Dataset, keyword: str) -> tuple[float, float, float] | None:
    numbers = _numbers(ds, keyword)
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _orientation(ds: Dataset) -> tuple[float, float, float, float, float, float] | None:
    n = _numbers(ds, "ImageOrientationPatient")
    return (n[0], n[1], n[2], n[3], n[4], n[5]) if len(n) == 6 else None


def _spacing(ds: Dataset) -> tuple[float, float] | None:
    n = _numbers(ds, "PixelSpacing")
    return (n[0], n[1]) if len(n) == 2 and min(n) > 0 else None
