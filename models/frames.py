"""DICOM files as frames: what each image says about itself, and its pixels in HU.

Headers are read first and pixels last, so that everything that can be refused is refused before it is decoded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from models.refusal import NotAVolume, Refusal
from models.volume import PADDING_HU

# PS3.5 annex A: these syntaxes may or must lose information. An explicit LossyImageCompression = 00 is believed.
MAY_BE_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000})
HU_RANGE = (PADDING_HU, 32767)  # below -1024 the scanner never measured anything; int16 ends the other side

# What pydicom and its plugins raise on bytes that are not what the header says they are.
BROKEN_PIXELS = (ValueError, RuntimeError, AttributeError, TypeError, KeyError, EOFError, OSError, IndexError)
BROKEN_HEADER = (InvalidDicomError, *BROKEN_PIXELS)

Point = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One image plane. Position and orientation in LPS mm; spacing is (between rows, between columns)."""

    path: Path
    sop_uid: str
    number: int  # 1-based frame number
    rows: int
    columns: int
    position: Point
    orientation: tuple[float, ...]  # direction along a row, then down a column (PS3.3 C.7.6.2.1.1)
    spacing_mm: tuple[float, float]
    slope: float
    intercept: float
    image_type: tuple[str, ...]
    multiframe: bool
    lossy: bool


def frames_of(path: Path) -> list[Frame]:
    """The frames of one file, from its header alone. Raises NotAVolume where it names no image plane."""
    ds = _read(path, stop_before_pixels=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on values of the wrong form; what we need is checked here
        return _frames_in(path, ds)


def _frames_in(path: Path, ds: Dataset) -> list[Frame]:
    try:
        if not ds.get("SOPInstanceUID"):
            raise NotAVolume(Refusal.UNREADABLE, "an image without SOP Instance UID cannot be identified")
        if int(ds.get("SamplesPerPixel", 1)) != 1:
            raise NotAVolume(Refusal.GEOMETRY, "colour images are no CT volume")
        _require_decoder(ds)
        if "PerFrameFunctionalGroupsSequence" in ds:
            return _enhanced_frames(path, ds)
        if int(ds.get("NumberOfFrames", None) or 1) > 1:
            raise NotAVolume(Refusal.MULTIFRAME, "a multi-frame image without per-frame geometry")
        return [_frame(path, ds, 1, ds, ds, ds, multiframe=False)]
    except BROKEN_PIXELS as error:
        raise NotAVolume(Refusal.UNREADABLE, f"a header cannot be understood ({type(error).__name__})") from error


def hu_planes(frames: list[Frame]) -> Iterator[NDArray[np.int16]]:
    """HU of frames that lie in one file, in the order given. Raises NotAVolume (syntax, unreadable)."""
    ds = _read(frames[0].path, stop_before_pixels=False)
    stored = _stored_values(frames[0].path, ds)
    if stored.ndim == 2:
        stored = stored[np.newaxis]
    padding = _padding_range(ds, stored.dtype)
    for frame in frames:
        plane = stored[frame.number - 1]
        if plane.shape != (frame.rows, frame.columns):
            raise NotAVolume(Refusal.UNREADABLE, "decoded size differs from Rows x Columns")
        hu = plane.astype(np.float32) * np.float32(frame.slope) + np.float32(frame.intercept)
        if padding is not None:
            hu[(plane >= padding[0]) & (plane <= padding[1])] = PADDING_HU
        yield np.clip(np.rint(hu), *HU_RANGE).astype(np.int16)


def _read(path: Path, *, stop_before_pixels: bool) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks on values we do not use
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=stop_before_pixels, force=True)
            if "TransferSyntaxUID" not in getattr(ds, "file_meta", {}):
                _guess_syntax(ds)
        except BROKEN_HEADER as error:
            raise NotAVolume(Refusal.UNREADABLE, f"not readable as DICOM ({type(error).__name__})") from error
    return ds


def _guess_syntax(ds: Dataset) -> None:
    """A data set without File Meta (folder import only): what pydicom took it for."""
    implicit, little = ds.original_encoding
    if not hasattr(ds, "file_meta"):
        ds.file_meta = FileMetaDataset()
    guess = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    ds.file_meta.TransferSyntaxUID = guess


def _require_decoder(ds: Dataset) -> None:
    syntax = UID(ds.file_meta.TransferSyntaxUID)
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise NotAVolume(Refusal.SYNTAX, f"transfer syntax {syntax} ({syntax.name}) cannot be decoded here")


def _stored_values(path: Path, ds: Dataset) -> NDArray[Any]:
    if not all(keyword in ds for keyword in ("PixelData", "Rows", "Columns")):
        raise NotAVolume(Refusal.UNREADABLE, "an image without pixel data: cut off on its way?")
    syntax = ds.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and len(ds.PixelData) >= 4 and ds.PixelData[:4] != b"\xfe\xff\x00\xe0":
        # PS3.5 A.4: encapsulated pixel data begins with the item tag of the basic offset table.
        raise NotAVolume(Refusal.UNREADABLE, f"the pixel data does not match its transfer syntax ({syntax.name})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if syntax == JPEGExtended12Bit and ds.BitsStored > 8:
                return _gdcm_file(path, ds)
            values: NDArray[Any] = ds.pixel_array
        except BROKEN_PIXELS as error:
            words = f"the pixel data cannot be decoded: {type(error).__name__} ({syntax.name})"
            raise NotAVolume(Refusal.UNREADABLE, words) from error
    return values


def _gdcm_file(path: Path, ds: Dataset) -> NDArray[Any]:
    """Twelve-bit JPEG Extended by GDCM's own file reader: pydicom's plugin hands over frames of eight bits only."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise ValueError("GDCM cannot read the image")
    image = reader.GetImage()
    dtype = np.dtype("<i2" if ds.PixelRepresentation else "<u2")
    values = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), dtype=dtype)
    return values.reshape(-1, ds.Rows, ds.Columns)


def _padding_range(ds: Dataset, dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """PixelPaddingValue and its RangeLimit as stored values (PS3.3 C.7.5.1.1.2), low to high."""
    value = _as_stored(ds.get("PixelPaddingValue"), dtype)
    if value is None:
        return None
    limit = _as_stored(ds.get("PixelPaddingRangeLimit"), dtype)
    other = value if limit is None else limit
    return min(value, other), max(value, other)


def _as_stored(value: object, dtype: np.dtype[Any]) -> int | None:
    """A US-or-SS value in the type of the pixels: its VR is often the wrong one of the two, its bits are right."""
    if value is None or value == "":
        return None
    bits = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(str(value))
    wrapped = np.array(bits & 0xFFFF, dtype=np.uint16)
    return int(wrapped.view(np.int16)) if dtype.kind == "i" else int(wrapped)


def _enhanced_frames(path: Path, ds: Dataset) -> list[Frame]:
    """Enhanced CT: geometry and rescale from the functional groups (PS3.3 C.7.6.16)."""
    groups = ds.PerFrameFunctionalGroupsSequence
    if len(groups) != int(ds.get("NumberOfFrames", 1)):
        raise NotAVolume(Refusal.MULTIFRAME, "the number of functional groups differs from the number of frames")
    return [_enhanced_frame(path, ds, n, group) for n, group in enumerate(groups, start=1)]


def _enhanced_frame(path: Path, ds: Dataset, number: int, group: Dataset) -> Frame:
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]

    def macro(keyword: str) -> Dataset:
        items = group.get(keyword) or shared.get(keyword) or [Dataset()]
        return Dataset(items[0])

    plane, measures = macro("PlanePositionSequence"), macro("PixelMeasuresSequence")
    plane.update(macro("PlaneOrientationSequence"))
    kind = macro("CTImageFrameTypeSequence").get("FrameType") or ds.get("ImageType") or ()
    plane.ImageType = list(kind)
    transform = macro("PixelValueTransformationSequence")
    if str(transform.get("RescaleType", "HU")) not in {"HU", "US", ""}:
        raise NotAVolume(Refusal.DERIVED_ONLY, f"frames hold {transform.RescaleType}, not HU")
    return _frame(path, ds, number, plane, measures, transform, multiframe=True)


def _frame(
    path: Path, ds: Dataset, number: int, plane: Dataset, measures: Dataset, transform: Dataset, *, multiframe: bool
) -> Frame:
    position, orientation = plane.get("ImagePositionPatient"), plane.get("ImageOrientationPatient")
    spacing = measures.get("PixelSpacing")
    if not position or not orientation or not spacing or not ds.get("Rows") or not ds.get("Columns"):
        raise NotAVolume(Refusal.GEOMETRY, "an image does not say where it lies in the patient")
    flag = ds.get("LossyImageCompression")
    numbers = [float(v) for v in (*position, *orientation, *spacing)]
    if len(numbers) != 11 or not np.isfinite(numbers).all() or min(numbers[9:]) <= 0:
        raise NotAVolume(Refusal.GEOMETRY, "position, orientation or pixel spacing of an image is malformed")
    return Frame(
        path=path,
        sop_uid=str(ds.get("SOPInstanceUID", "")),
        number=number,
        rows=int(ds.Rows),
        columns=int(ds.Columns),
        position=(numbers[0], numbers[1], numbers[2]),
        orientation=tuple(numbers[3:9]),
        spacing_mm=(numbers[9], numbers[10]),
        slope=float(_or(transform.get("RescaleSlope"), 1.0)),
        intercept=float(_or(transform.get("RescaleIntercept"), 0.0)),
        image_type=tuple(str(v) for v in plane.get("ImageType") or ()),
        multiframe=multiframe,
        lossy=flag == "01" or (flag != "00" and ds.file_meta.TransferSyntaxUID in MAY_BE_LOSSY),
    )


def _or(value: Any, default: float) -> Any:
    return default if value is None or value == "" else value
