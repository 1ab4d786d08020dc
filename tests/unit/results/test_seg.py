"""The SEG holds our masks, on the slices they came from, where they are in the patient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.unit.results import reader
from tests.unit.results.cases import (
    FEET_FIRST_PRONE,
    FRAME,
    OBLIQUE,
    SHAPE,
    case,
    ct_series,
    enhanced,
    lesions,
    lungs,
    masks_for,
)
from triaged.records import Role
from triaged.results.build import Masks, ResultInput, build_results, to_bytes

FAR = [{}, {"orientation": OBLIQUE}, {"orientation": FEET_FIRST_PRONE}, {"step_mm": -1.25}]


def seg_of(wanted: ResultInput) -> Dataset:
    return reader.read(to_bytes(build_results(wanted, [Role.SEG])[Role.SEG]))


def expected_points(source: list[Dataset], mask: np.ndarray[Any, Any]) -> reader.Array:
    """From the headers of the source alone."""
    found = [
        reader.points_mm(
            np.array(s.ImagePositionPatient, float),
            np.array(s.ImageOrientationPatient, float),
            np.array(s.PixelSpacing, float),
            slab,
        )
        for s, slab in zip(source, mask, strict=True)
    ]
    return reader.in_order(np.concatenate(found))


@pytest.mark.parametrize("geometry", FAR, ids=["axial", "oblique", "feet first prone", "head to feet"])
def test_masks_return_to_the_slices_and_the_place_they_came_from(geometry: dict[str, Any]) -> None:
    source = ct_series(**geometry)
    seg = seg_of(case(source))
    wanted = [lungs() == 1, lungs() == 2, lesions("right"), lesions("left")]
    by_uid = {str(s.SOPInstanceUID): i for i, s in enumerate(source)}
    for frame in reader.frames(seg):
        np.testing.assert_array_equal(frame.mask, wanted[frame.segment - 1][by_uid[frame.source_uid]])
    for number, mask in enumerate(wanted, start=1):
        np.testing.assert_allclose(reader.segment_points(seg, number), expected_points(source, mask), atol=1e-3)
    assert seg.FrameOfReferenceUID == FRAME


def test_masks_follow_their_uids_whatever_the_order_of_the_headers() -> None:
    source = ct_series(orientation=OBLIQUE)
    wanted = case(source)
    shuffled = replace(wanted, source=[source[i] for i in (3, 9, 0, 7, 1, 8, 2, 6, 5, 4)])
    seg = seg_of(shuffled)
    np.testing.assert_allclose(reader.segment_points(seg, 3), expected_points(source, lesions("right")), atol=1e-3)


def test_empty_frames_are_left_out() -> None:
    seg = seg_of(case(lesion_sides="right"))
    per_segment = [sum(f.segment == n for f in reader.frames(seg)) for n in (1, 2, 3)]
    assert per_segment == [6, 6, 3]
    assert all(f.mask.any() for f in reader.frames(seg))


@pytest.mark.parametrize(
    ("lesion_sides", "lung_sides", "labels"),
    [
        ("right left", "right left", ["Right lung", "Left lung", "Right lung lesions", "Left lung lesions"]),
        ("right", "right left", ["Right lung", "Left lung", "Right lung lesions"]),
        ("left", "right left", ["Right lung", "Left lung", "Left lung lesions"]),
        ("", "right left", ["Right lung", "Left lung"]),
        ("", "left", ["Left lung"]),
        ("left", "left", ["Left lung", "Left lung lesions"]),
        ("right", "left", ["Left lung"]),  # a lesion outside every lung belongs to none
    ],
)
def test_a_segment_stands_for_what_has_voxels(lesion_sides: str, lung_sides: str, labels: list[str]) -> None:
    seg = seg_of(case(lesion_sides=lesion_sides, lung_sides=lung_sides))
    assert [str(s.SegmentLabel) for s in seg.SegmentSequence] == labels
    assert {f.segment for f in reader.frames(seg)} == set(range(1, len(labels) + 1))
    assert seg.SegmentsOverlap == ("YES" if any("lesion" in label for label in labels) else "NO")


def test_sides_and_algorithms_are_coded() -> None:
    seg = seg_of(case())
    lung, lesion = seg.SegmentSequence[0], seg.SegmentSequence[3]
    kind = lung.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning) == ("39607008", "Right")
    region = lesion.AnatomicRegionSequence[0]
    assert lesion.SegmentedPropertyTypeCodeSequence[0].CodeValue == "52988006"
    assert (region.CodeValue, region.AnatomicRegionModifierSequence[0].CodeMeaning) == ("39607008", "Left")
    assert {s.SegmentAlgorithmType for s in seg.SegmentSequence} == {"AUTOMATIC"}
    algorithm = lesion.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmParameters) == ("thresholding", "threshold=-700 HU")
    # Thresholds are not called artificial intelligence.
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123104"


def test_frames_of_a_multiframe_source_are_found_in_any_order() -> None:
    source, positions = enhanced(order=(3, 9, 0, 7, 1, 8, 2, 6, 5, 4))
    masks = Masks(
        lungs=lungs(),
        lesions=lesions("right"),
        sources=tuple((str(source.SOPInstanceUID), 1 + frame) for frame in np.argsort(positions)),
    )
    seg = seg_of(replace(case(), source=[source], masks=masks))
    np.testing.assert_allclose(reader.segment_points(seg, 3), expected_points(ct_series(), lesions("right")), atol=1e-3)
    by_frame = {frame: index for index, (_, frame) in enumerate(masks.sources)}
    for found in reader.frames(seg):
        assert found.source_frame is not None
        wanted = [lungs() == 1, lungs() == 2, lesions("right")][found.segment - 1]
        np.testing.assert_array_equal(found.mask, wanted[by_frame[found.source_frame]])


def test_a_source_without_slice_thickness_gets_its_spacing() -> None:
    seg = seg_of(case(ct_series(attributes={"SliceThickness": None}, step_mm=-1.25)))
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == pytest.approx(1.25)


def test_lossy_sources_leave_their_mark() -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "7.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    built = build_results(case(ct_series(attributes=lossy)), [Role.SEG, Role.PICTURE])
    for made in built.values():
        assert (made.LossyImageCompression, float(made.LossyImageCompressionRatio)) == ("01", 7.5)
    assert build_results(case(), [Role.SEG])[Role.SEG].LossyImageCompression == "00"


def test_masks_on_unknown_slices_are_refused() -> None:
    source = ct_series()
    with pytest.raises(ValueError, match="1 slices of the masks"):
        build_results(replace(case(source), source=source[1:]), [Role.SEG])


def test_a_series_of_two_frames_of_reference_is_refused() -> None:
    source = ct_series()
    source[4].FrameOfReferenceUID = "1.2.3"
    with pytest.raises(ValueError, match="2 Frames of Reference"):
        build_results(case(source), [Role.SEG])


def test_masks_of_another_shape_or_type_are_refused() -> None:
    good = masks_for(ct_series())
    with pytest.raises(ValueError, match="uint8"):
        replace(good, lungs=good.lungs.astype(np.int16))
    with pytest.raises(ValueError, match="shape"):
        replace(good, lesions=np.zeros(SHAPE[::-1], np.bool_))
    with pytest.raises(ValueError, match="9 sources"):
        replace(good, sources=good.sources[1:])
