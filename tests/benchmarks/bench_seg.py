"""The SEG: our builder beside highdicom called plainly, with a stack of four overlapping masks, on the same grid.

python -m tests.benchmarks seg
"""

from __future__ import annotations

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.benchmarks.measured import Measured, in_turns, seconds
from tests.unit.results.cases import INSTALLATION, MADE_AT, ct_series, findings_for
from triaged.masks import Masks
from triaged.results import codes
from triaged.results.seg import build_seg
from triaged.results.stamp import Stamp
from triaged.results.uids import ObjectUids

SHAPE = (120, 512, 512)
REPEATS = 3


def masks_on(source: list[Dataset]) -> Masks:
    """Two ellipsoids of unequal size for lungs, a ball in each for a lesion."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]

    def ball(centre: tuple[int, int, int], radii: tuple[int, int, int]) -> NDArray[np.bool_]:
        parts = [((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True)]
        inside: NDArray[np.bool_] = sum(parts) <= 1.0
        return inside

    lungs = np.zeros(SHAPE, np.uint8)
    lungs[ball((60, 260, 150), (55, 140, 90))] = 1
    lungs[ball((58, 260, 360), (52, 135, 80))] = 2
    lesions = ball((30, 330, 150), (14, 40, 40)) | ball((40, 300, 370), (10, 30, 25))
    return Masks(lungs=lungs, lesions=lesions & (lungs > 0), sources=tuple((str(s.SOPInstanceUID), 1) for s in source))


def plainly(source: list[Dataset], masks: Masks) -> Segmentation:
    """As highdicom's documentation has it: one plane of masks per segment, stacked on the last axis."""
    assert masks.lesions is not None
    sides = [masks.lungs == 1, masks.lungs == 2]
    stack = np.stack([*sides, *(side & masks.lesions for side in sides)], axis=-1).astype(np.uint8)
    algorithm = AlgorithmIdentificationSequence(name="plain", family=codes.MORPHOLOGICAL_OPERATIONS, version="1")
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.ANATOMICAL_STRUCTURE,
            segmented_property_type=codes.LUNG,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, label in enumerate(("right", "left", "right lesions", "left lesions"), start=1)
    ]
    return Segmentation(
        source_images=source,
        pixel_array=stack,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="plain",
        manufacturer_model_name="plain",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
    )


def run() -> list[Measured]:
    source = ct_series(shape=SHAPE)
    masks = masks_on(source)
    stamp = _stamp(masks)
    best = in_turns(
        REPEATS,
        {
            "ours": lambda: seconds(lambda: build_seg(source, masks, stamp)),
            "plain": lambda: seconds(lambda: plainly(source, masks)),
        },
    )
    return [
        Measured(
            what=f"build a SEG of {SHAPE[0]} slices, 4 segments",
            ours_ms=1000 * best["ours"],
            peer="highdicom called plainly",
            peer_ms=1000 * best["plain"],
        )
    ]


def _stamp(masks: Masks) -> Stamp:
    uids = ObjectUids(sop_uid=generate_uid(), series_uid=generate_uid())
    made_by = findings_for(masks).provenance
    return Stamp(uids=uids, installation_uid=INSTALLATION, made_at=MADE_AT, made_by=made_by)
