"""Reads SEG and SR with nothing but pydicom and numpy: no code in common with the writer, nor with its library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Frame:
    segment: int
    source_uid: str
    source_frame: int | None
    mask: NDArray[np.bool_]
    points_mm: Array  # (voxel, xyz) in the patient


def read(data: bytes) -> Dataset:
    return dcmread(BytesIO(data))


def points_mm(position: Array, orientation: Array, spacing: Array, mask: NDArray[np.bool_]) -> Array:
    """PS3.3 C.7.6.2.1.1: centres of the voxels of one slice in the patient."""
    rows, columns = np.nonzero(mask)
    along_row, along_column = orientation[:3], orientation[3:]
    offset: Array = position + np.outer(columns * spacing[1], along_row) + np.outer(rows * spacing[0], along_column)
    return offset


def frames(seg: Dataset) -> list[Frame]:
    count, rows, columns = int(seg.NumberOfFrames), seg.Rows, seg.Columns
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")[: count * rows * columns]
    pixels = bits.reshape(count, rows, columns).astype(bool)
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    found = []
    for mask, group in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        holder = group if "SegmentIdentificationSequence" in group else shared
        (derivation,) = group.DerivationImageSequence
        (source,) = derivation.SourceImageSequence
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        found.append(
            Frame(
                segment=int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber),
                source_uid=str(source.ReferencedSOPInstanceUID),
                source_frame=source.get("ReferencedFrameNumber"),
                mask=mask,
                points_mm=points_mm(position, orientation, spacing, mask),
            )
        )
    return found


def segment_points(seg: Dataset, number: int) -> Array:
    """All voxels of one segment in the patient, sorted."""
    return in_order(np.concatenate([f.points_mm for f in frames(seg) if f.segment == number]))


def in_order(points: Array) -> Array:
    return points[np.lexsort(np.round(points, 2).T)]


def walk(item: Dataset) -> Iterator[Dataset]:
    """Every content item below this one."""
    for child in item.get("ContentSequence", []):
        yield child
        yield from walk(child)


def name_of(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning) if "ConceptNameCodeSequence" in item else ""


def value_of(item: Dataset) -> object:
    match item.ValueType:
        case "NUM":
            return float(item.MeasuredValueSequence[0].NumericValue)
        case "CODE":
            return str(item.ConceptCodeSequence[0].CodeMeaning)
        case "TEXT":
            return str(item.TextValue)
        case "UIDREF":
            return str(item.UID)
        case "IMAGE":
            return item.ReferencedSOPSequence[0]
    return None


def values(item: Dataset, name: str) -> list[object]:
    return [value_of(child) for child in walk(item) if name_of(child) == name]


def groups(sr: Dataset) -> list[Dataset]:
    return [item for item in walk(sr) if name_of(item) == "Measurement Group"]


def group_named(sr: Dataset, tracking: str) -> Dataset:
    (found,) = [group for group in groups(sr) if values(group, "Tracking Identifier") == [tracking]]
    return found
