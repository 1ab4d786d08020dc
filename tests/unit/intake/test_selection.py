"""Which series is the chest CT?"""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.intake.making import ASKEW, CORONAL, STUDY, image, stack
from triaged.intake.selection import MIN_SLICES, select
from triaged.records import InstanceHeader, Reason

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


def chosen(*series: list[InstanceHeader]) -> str:
    selection = select([h for one in series for h in one])
    assert selection.choice is not None, selection
    return selection.choice.series_uid


def refusal(*headers: InstanceHeader) -> Reason | None:
    selection = select(headers)
    assert selection.choice is None
    assert selection.reason
    assert len(selection.reason) <= 120
    return selection.reason_code


# -- what is preferred -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"kernel": "B31f"}, {"kernel": "B70f"}),
        ({"kernel": "STANDARD"}, {"kernel": "LUNG"}),
        ({"kernel": "B"}, {"kernel": "L"}),
        ({"kernel": "FC08"}, {"kernel": "FC52"}),
        ({"kernel": "B31f", "spacing_mm": 5.0, "slices": 60}, {"kernel": "B70f", "spacing_mm": 1.0, "slices": 300}),
        ({"spacing_mm": 1.0, "slices": 300}, {"spacing_mm": 5.0, "slices": 60}),
        ({"spacing_mm": 5.0, "slices": 56}, {"spacing_mm": 1.0, "slices": 110}),  # the whole chest before thin slices
        ({}, {"image_type": ("DERIVED", "SECONDARY", "AXIAL"), "spacing_mm": 1.0, "slices": 300}),
        ({}, {"contrast_agent": "ULTRAVIST 370"}),
        ({}, {"lossy": True}),
        ({}, {"body_part": "", "series_description": "ABDOMEN 5.0"}),
        ({"orientation": ASKEW}, {"orientation": ASKEW, "slices": 30}),
    ],
)
def test_the_better_series_is_chosen_whichever_is_numbered_first(better: dict[str, Any], worse: dict[str, Any]) -> None:
    assert chosen(stack(2, **better), stack(3, **worse)) == f"{STUDY}.2"
    assert chosen(stack(2, **worse), stack(3, **better)) == f"{STUDY}.3"


def test_a_series_with_a_missing_slice_gives_way_to_a_whole_one() -> None:
    thin, thick = stack(2, slices=200, spacing_mm=1.5), stack(3, slices=60)
    assert chosen(thin, thick) == f"{STUDY}.2"
    assert chosen(thin[:90] + thin[95:], thick) == f"{STUDY}.3"


def test_the_reason_names_thickness_kernel_and_coverage() -> None:
    selection = select(stack(2, kernel="L", slices=56) + stack(3, kernel="B", slices=56))
    assert selection.choice is not None
    assert selection.choice.reason == "5 mm axial, soft kernel B over sharp L, 56 slices covering 280 mm"
    assert [score.series_uid for score in selection.ranked] == [f"{STUDY}.3", f"{STUDY}.2"]


def test_the_digest_covers_exactly_the_chosen_images() -> None:
    slices = stack(2)
    scout = image(sop_uid=f"{STUDY}.2.999", image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), orientation=CORONAL)
    selection = select([*slices, scout])
    assert selection.choice is not None
    assert selection.choice.slices == len(slices)
    uids = sorted(h.sop_uid for h in slices)
    assert selection.ranked[0].sop_uids == tuple(uids)
    assert selection.choice.input_digest == hashlib.sha256("\n".join(uids).encode()).hexdigest()


def test_a_late_localizer_does_not_change_the_choice_but_a_late_slice_does() -> None:
    slices = stack(2)
    before = select(slices).choice
    scout = image(series_uid=f"{STUDY}.1", sop_uid=f"{STUDY}.1.1", image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    assert select([*slices, scout]).choice == before
    late = image(sop_uid=f"{STUDY}.2.61", position_mm=(-170.0, -180.0, 340.0), slice_thickness_mm=5.0)
    assert select([*slices, late]).choice != before


def test_two_breath_holds_in_one_series_are_taken_apart() -> None:
    first, again = stack(2, acquisition_number=1), stack(2, acquisition_number=2)
    again = [image(**{**_as_dict(h), "sop_uid": f"{h.sop_uid}.2"}) for h in again]
    selection = select(first + again)
    assert selection.choice is not None
    assert selection.choice.slices == 60


def test_a_sequential_scan_that_counts_every_rotation_is_one_stack() -> None:
    slices = [image(**{**_as_dict(h), "acquisition_number": k}) for k, h in enumerate(stack(2))]
    selection = select(slices)
    assert selection.choice is not None
    assert selection.choice.slices == 60


def test_an_enhanced_multiframe_chest_is_chosen() -> None:
    one = image(sop_class_uid=ENHANCED_CT, number_of_frames=150, slice_thickness_mm=2.0)
    selection = select([one])
    assert selection.choice is not None
    assert selection.choice.slices == 150


def _as_dict(header: InstanceHeader) -> dict[str, Any]:
    return {name: getattr(header, name) for name in InstanceHeader.__dataclass_fields__}


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sop_class_uid": SECONDARY_CAPTURE}, Reason.NOT_CT),
        ({"sop_class_uid": "1.3.46.670589.11.0.0.12.1"}, Reason.NOT_CT),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4", "modality": "MR"}, Reason.NOT_CT),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, Reason.NO_AXIAL_CT),
        ({"orientation": CORONAL}, Reason.NO_AXIAL_CT),
        ({"orientation": None}, Reason.NO_AXIAL_CT),
        ({"has_pixels": False}, Reason.NO_AXIAL_CT),
        ({"samples_per_pixel": 3}, Reason.NO_AXIAL_CT),
        ({"image_type": ("DERIVED", "SECONDARY", "AXIAL", "MIP")}, Reason.DERIVED_ONLY),
        ({"series_description": "Lung MIP 10mm"}, Reason.DERIVED_ONLY),
        ({"image_type": ("DERIVED", "PRIMARY", "PERFUSION", "RCBF")}, Reason.DERIVED_ONLY),
        ({"image_type": ("DERIVED", "PRIMARY", "TOMO")}, Reason.NOT_CHEST),
        ({"body_part": "BREAST"}, Reason.NOT_CHEST),
        ({"body_part": "HEAD"}, Reason.NOT_CHEST),
        ({"body_part": "ABDOMEN"}, Reason.NOT_CHEST),
        ({"slices": MIN_SLICES - 1}, Reason.TOO_FEW_SLICES),
        ({"spacing_mm": 1.0, "slices": 60}, Reason.SHORT_COVERAGE),
        ({"transfer_syntax_uid": "1.2.840.10008.1.2.4.55"}, Reason.SYNTAX),
    ],
)
def test_a_study_that_cannot_be_analysed_is_refused_by_name(values: dict[str, Any], reason: Reason) -> None:
    assert refusal(*stack(2, **values)) is reason


def test_a_description_of_the_chest_overrules_a_wrong_body_part() -> None:
    assert chosen(stack(2, body_part="ABDOMEN", series_description="Thorax 5.0")) == f"{STUDY}.2"


def test_four_images_at_one_position_are_a_bolus_run() -> None:
    run = [image(sop_uid=f"{STUDY}.2.{k}", acquisition_number=k) for k in range(4)]
    assert refusal(*run) is Reason.DUPLICATE_POSITIONS


def test_a_few_slices_with_one_missing_name_the_gap() -> None:
    slices = stack(2, slices=5)
    assert refusal(*slices[:2], *slices[3:]) is Reason.GAP


def test_a_few_sheared_slices_name_the_gantry() -> None:
    sheared = [
        image(
            sop_uid=f"{STUDY}.2.{k}", position_mm=(-100.0, -250.0, 5.0 * k), orientation=(1, 0, 0, 0, 0.9703, -0.2419)
        )
        for k in range(4)
    ]
    assert refusal(*sheared) is Reason.GANTRY_TILT


def test_two_patients_in_one_study_are_a_conflict() -> None:
    slices = stack(2)
    stranger = image(sop_uid=f"{STUDY}.9.1", series_uid=f"{STUDY}.9", patient_key="q")
    assert refusal(*slices, stranger) is Reason.CONFLICTING_IDENTITY


def test_an_image_that_names_nobody_is_no_conflict() -> None:
    slices = stack(2)
    assert chosen([*slices, image(sop_uid=f"{STUDY}.9.1", series_uid=f"{STUDY}.9", patient_key="")]) == f"{STUDY}.2"


def test_no_images_is_not_a_ct() -> None:
    assert refusal() is Reason.NOT_CT


# -- independent of order ----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), kernels=st.lists(st.sampled_from(["B31f", "B70f", "", "L"]), min_size=1, max_size=4))
def test_the_choice_does_not_depend_on_the_order_of_arrival(seed: int, kernels: list[str]) -> None:
    headers = [h for n, kernel in enumerate(kernels, start=2) for h in stack(n, slices=25, kernel=kernel)]
    headers += [image(sop_uid=f"{STUDY}.1.{k}", series_uid=f"{STUDY}.1", orientation=CORONAL) for k in range(3)]
    shuffled = random.Random(seed).sample(headers, len(headers))
    assert select(shuffled) == select(headers)
    assert select(shuffled + shuffled[:10]) == select(headers)
