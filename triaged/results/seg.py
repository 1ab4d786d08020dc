"""Masks -> DICOM Segmentation: BINARY, on the source grid, every frame naming the source instance it lies on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from triaged.masks import Masks
from triaged.records import ModelIdentity
from triaged.results import codes
from triaged.results.source import grid_of
from triaged.results.stamp import MANUFACTURER, MODEL_NAME, Stamp, apply, plain
from triaged.results.uids import derive

DESCRIPTION = "AI lungs and lesions"
RIGHT_LABEL, LEFT_LABEL = 1, 2  # of Masks.lungs

# Distinct for colour-blind readers too: cold for lungs, warm for lesions, lighter on the right.
LUNG_COLOURS = {"right": CIELabColor(75.0, -10.0, -30.0), "left": CIELabColor(50.0, 5.0, -45.0)}
LESION_COLOURS = {"right": CIELabColor(75.0, 20.0, 65.0), "left": CIELabColor(55.0, 50.0, 50.0)}
SIDES = {"right": (RIGHT_LABEL, codes.RIGHT), "left": (LEFT_LABEL, codes.LEFT)}


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One segment of the SEG, as the SR refers to it. `kind` is "lung" or "lesion", `side` "right" or "left"."""

    number: int
    kind: str
    side: str
    tracking_id: str
    tracking_uid: str

    @property
    def key(self) -> str:
        return f"{self.kind} {self.side}"


def segments_of(masks: Masks, stamp: Stamp) -> tuple[Segment, ...]:
    """The segments that have voxels, numbered from 1: lungs first, right before left.

    An empty segment is left out: nothing could refer to it, and viewers list it as if it were there.
    """
    slices = range(len(masks.lungs))
    present = [
        (kind, side)
        for kind in ("lung", "lesion")
        for side in SIDES
        if any(_mask(masks, kind, side, index).any() for index in slices)
    ]
    return tuple(
        Segment(
            number=number,
            kind=kind,
            side=side,
            tracking_id=f"{side} lung" if kind == "lung" else f"{side} lung lesions",
            tracking_uid=derive(stamp.installation_uid, stamp.uids.sop_uid, kind, side),
        )
        for number, (kind, side) in enumerate(present, start=1)
    )


def build_seg(source: Sequence[Dataset], masks: Masks, stamp: Stamp) -> Dataset:
    """The SEG (PS3.3 A.51) of these masks. `source` are the CT's headers, in any order; pixels are not needed.

    Raises ValueError where a mask names an instance that is not in `source`, or nothing was segmented.
    """
    segments = segments_of(masks, stamp)
    if not segments:
        raise ValueError("a segmentation without a single voxel")
    images, planes = _planes(source, masks)
    seg = _nested(segments)(
        source_images=grid_of(images),
        pixel_array=_label_map(masks, segments, planes),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(segment, stamp) for segment in segments],
        series_instance_uid=stamp.uids.series_uid,
        series_number=1,
        sop_instance_uid=stamp.uids.sop_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=plain(stamp.made_by.triaged_version, 64),
        device_serial_number=stamp.installation_uid[:64],
        content_label="LUNGS_LESIONS",
        content_description="Right and left lung and the lesions in them",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
    )
    plain_seg = Dataset(seg)  # without the tables the library keeps beside it
    plain_seg.SegmentsOverlap = "YES" if any(s.kind == "lesion" for s in segments) else "NO"
    apply(stamp, images[0], plain_seg, description=DESCRIPTION)
    return plain_seg


def _planes(source: Sequence[Dataset], masks: Masks) -> tuple[list[Dataset], list[int]]:
    """The source images in the order of the frames to be written, and the slice of the masks on each frame, or -1.

    Of a multi-frame image every frame has its place, used or not.
    """
    by_uid = {str(s.SOPInstanceUID): s for s in source}
    missing = [uid for uid, _ in masks.sources if uid not in by_uid]
    if missing:
        raise ValueError(f"{len(missing)} slices of the masks lie on instances that are not among the source")
    first = by_uid[masks.sources[0][0]]
    if "NumberOfFrames" not in first:
        return [by_uid[uid] for uid, _ in masks.sources], list(range(len(masks.sources)))
    if len({uid for uid, _ in masks.sources}) > 1:
        raise ValueError("a segmentation of several multi-frame images is not supported")
    slice_of = {frame: i for i, (_, frame) in enumerate(masks.sources)}
    return [first], [slice_of.get(frame, -1) for frame in range(1, int(first.NumberOfFrames) + 1)]


def _mask(masks: Masks, kind: str, side: str, index: int) -> NDArray[np.bool_]:
    """Where one segment lies in one slice."""
    inside: NDArray[np.bool_] = masks.lungs[index] == SIDES[side][0]
    if kind == "lung":
        return inside
    return np.zeros_like(inside) if masks.lesions is None else inside & masks.lesions[index]


def _label_map(masks: Masks, segments: Sequence[Segment], planes: Sequence[int]) -> NDArray[np.uint8]:
    """(plane, row, column) uint8: the number of the innermost segment of each voxel, a lesion's over its lung's."""
    labels = np.zeros((len(planes), *masks.lungs.shape[1:]), np.uint8)
    for plane, index in enumerate(planes):
        for segment in segments if index >= 0 else ():
            labels[plane][_mask(masks, segment.kind, segment.side, index)] = segment.number
    return labels


def _nested(segments: Sequence[Segment]) -> type[Segmentation]:
    """The library's Segmentation, reading a label map in which a lung holds its lesions as well.

    Its own form for overlapping segments, a stack of masks, is summed in int64: 1 GB for 300 slices, here 80 MB.
    """
    holds = np.zeros((len(segments) + 1, len(segments) + 1), np.uint8)  # (segment, label): does it hold that label?
    for segment in segments:
        for other in segments:
            nested = (segment.kind, other.side) == ("lung", segment.side)
            holds[segment.number, other.number] = nested or other is segment

    class NestedSegmentation(Segmentation):
        @staticmethod
        def _get_segment_pixel_array(
            pixel_array: NDArray[np.uint8], segment_number: int, *_: object, **__: object
        ) -> NDArray[np.uint8]:
            nested: NDArray[np.uint8] = holds[segment_number][pixel_array]
            return nested

    return NestedSegmentation


def _describe(segment: Segment, stamp: Stamp) -> SegmentDescription:
    """Codes as in 3D Slicer: a lung has its side on the type, a lesion on the anatomic region it lies in."""
    side = SIDES[segment.side][1]
    lung = segment.kind == "lung"
    description = SegmentDescription(
        segment_number=segment.number,
        segment_label=f"{side.meaning} lung" if lung else f"{side.meaning} lung lesions",
        segmented_property_category=codes.ANATOMICAL_STRUCTURE if lung else codes.ABNORMAL_STRUCTURE,
        segmented_property_type=codes.LUNG if lung else codes.LESION,
        algorithm_type="AUTOMATIC",
        algorithm_identification=_algorithm(stamp.model("lungs" if lung else "triage")),
        tracking_uid=segment.tracking_uid,
        tracking_id=segment.tracking_id,
        anatomic_regions=None if lung else [codes.LUNG],
        display_color=(LUNG_COLOURS if lung else LESION_COLOURS)[segment.side],
    )
    modifier = codes.code_sequence([side])  # the library has no argument for either modifier
    if lung:
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = modifier
    else:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = modifier
    return description


def family_of(model: ModelIdentity) -> Code:
    """CID 7162: what has weights is artificial intelligence, what has none is not called so."""
    return codes.ARTIFICIAL_INTELLIGENCE if model.sha256 else codes.MORPHOLOGICAL_OPERATIONS


def parameters_of(model: ModelIdentity) -> list[str]:
    """Parameters, digest of the weights and what they were trained on, as SEG and SR state them."""
    said = [model.parameters] if model.parameters else []
    if model.sha256:
        said.append(f"sha256={model.sha256}")
    if model.synthetic:
        said.append("research weights: trained on synthetic data")
    return [plain(text) for text in said]


def _algorithm(model: ModelIdentity) -> AlgorithmIdentificationSequence:
    sequence = AlgorithmIdentificationSequence(
        name=plain(model.name, 64), family=family_of(model), version=plain(model.version, 64), source=MANUFACTURER
    )
    if parameters := parameters_of(model):
        sequence[0].AlgorithmParameters = "; ".join(parameters)
    return sequence
