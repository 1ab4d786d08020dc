"""The gates: every reason and every flag, on predictions made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models import crosscheck
from models.crosscheck import Crosscheck
from models.familiar import Unfamiliar
from models.pipeline import Prediction
from tests.unit.analysis.predictions import LUNGS, TRIAGE, extent, prediction, volume
from triaged.analysis import quality
from triaged.analysis.quality import Verdict, judge
from triaged.records import Flag, Reason


def judged(found: Prediction, *, partial: bool = False, lossy: bool = False, contrast: bool = False) -> Verdict:
    return judge(found, partial=partial, lossy=lossy, contrast=contrast)


def test_a_believable_chest_passes_without_a_flag() -> None:
    assert judged(prediction()) == Verdict()


CLOSED: list[tuple[dict[str, Any], Reason, str]] = [
    ({"lung_ml_right": 1000.0, "lung_ml_left": 2300.0}, Reason.LUNG_OPAQUE, "right lung may be opaque or collapsed"),
    ({"lung_ml_right": 2600.0, "lung_ml_left": 1100.0}, Reason.LUNG_OPAQUE, "left lung may be opaque or collapsed"),
    ({"lung_ml_right": 2600.0, "lung_ml_left": 0.0}, Reason.LUNG_OPAQUE, "left lung may be opaque or collapsed"),
    ({"lung_ml_right": 0.0, "lung_ml_left": 2300.0}, Reason.LUNG_OPAQUE, "right lung may be opaque or collapsed"),
    ({"cavity_share_right": 0.42}, Reason.LUNG_OPAQUE, "right lung may be opaque: it fills 42 %"),
    ({"cavity_share_left": 0.39}, Reason.LUNG_OPAQUE, "left lung may be opaque: it fills 39 %"),
    ({"height_mm": 140.0}, Reason.LUNG_OPAQUE, "140 mm high: their bases may be opaque"),
    ({"lung_ml_right": 450.0, "lung_ml_left": 400.0}, Reason.LUNG_VOLUME, "0.8 L of lung, expected 1.0 to 9.5 L"),
    ({"lung_ml_right": 5400.0, "lung_ml_left": 4800.0}, Reason.LUNG_VOLUME, "10.2 L of lung, expected 1.0 to 9.5 L"),
    ({"reaches_head_end": True, "reaches_foot_end": True}, Reason.SHORT_COVERAGE, "cut off at both ends of the 30 mm"),
]


@pytest.mark.parametrize(("values", "reason", "words"), CLOSED)
def test_a_closed_gate_names_its_reason(values: dict[str, Any], reason: Reason, words: str) -> None:
    verdict = judged(prediction(extent=extent(**values)))
    assert verdict.reason_code is reason
    assert words in verdict.words
    assert verdict.flags == ()


OPEN: list[dict[str, Any]] = [
    {"lung_ml_right": 2600.0, "lung_ml_left": 2600.0 / quality.RIGHT_LEFT[1] + 1},  # on the near side of each bound
    {"lung_ml_right": 2300.0 * quality.RIGHT_LEFT[0] + 1, "lung_ml_left": 2300.0},
    {"cavity_share_right": quality.LEAST_CAVITY_SHARE},
    {"height_mm": quality.LEAST_HEIGHT_MM},
    {"lung_ml_right": 560.0, "lung_ml_left": 450.0},
    {"lung_ml_right": 5000.0, "lung_ml_left": 4490.0},
    {"cavity_share_right": None, "cavity_share_left": None, "rib_ring": 0.1},  # no ribs seen: nothing to hold it to
]


@pytest.mark.parametrize("values", OPEN)
def test_what_lies_on_the_near_side_of_a_bound_passes(values: dict[str, Any]) -> None:
    assert judged(prediction(extent=extent(**values))).reason_code is None


@pytest.mark.parametrize("end", ["head", "foot"])
def test_a_part_of_the_lungs_is_not_measured_as_if_it_were_all_of_them(end: str) -> None:
    """The bases on an abdomen CT: a percentage of ten centimetres, CT-0 perhaps, would be read as one of the lungs."""
    verdict = judged(prediction(extent=extent(height_mm=140.0, **{f"reaches_{end}_end": True})))
    assert verdict.reason_code is Reason.SHORT_COVERAGE
    assert f"cut off at the {end} end: only 140 mm" in verdict.words


def test_lungs_that_lack_a_little_at_one_end_are_flagged_and_not_called_opaque() -> None:
    verdict = judged(prediction(extent=extent(height_mm=quality.LEAST_HEIGHT_MM, reaches_foot_end=True)))
    assert verdict == Verdict(flags=(Flag.LUNG_CUT_OFF,))


def test_the_opaque_lung_comes_before_the_small_volume_that_it_causes() -> None:
    """What the reader can act on: 0.9 L in all is no explanation, one white lung is."""
    verdict = judged(prediction(extent=extent(lung_ml_right=800.0, lung_ml_left=100.0)))
    assert verdict.reason_code is Reason.LUNG_OPAQUE


GREY: list[dict[str, Any]] = [
    {"lung_ml_right": 2300.0 * quality.USUAL_RIGHT_LEFT[0] - 1, "lung_ml_left": 2300.0},
    {"lung_ml_right": 2600.0, "lung_ml_left": 2600.0 / quality.USUAL_RIGHT_LEFT[1] - 1},
    {"cavity_share_left": quality.USUAL_CAVITY_SHARE - 0.01},
    {"cavity_share_right": None, "cavity_share_left": None, "rib_ring": 0.1},
    {"height_mm": quality.USUAL_HEIGHT_MM - 1},
    {"base_step_mm": quality.USUAL_BASE_STEP_MM + 1},
    {"base_step_mm": None},
]


@pytest.mark.parametrize("values", GREY)
def test_what_is_unlike_whole_lungs_is_measured_and_flagged(values: dict[str, Any]) -> None:
    assert judged(prediction(extent=extent(**values))) == Verdict(flags=(Flag.LUNG_MAY_BE_MISSING,))


def test_a_small_chest_is_not_unusual() -> None:
    small = extent(
        height_mm=quality.USUAL_HEIGHT_MM,
        cavity_share_left=quality.USUAL_CAVITY_SHARE,
        base_step_mm=quality.USUAL_BASE_STEP_MM,
    )
    assert judged(prediction(extent=small)) == Verdict()


FLAGS: list[tuple[dict[str, Any], dict[str, bool], Flag]] = [
    ({}, {"partial": True}, Flag.PARTIAL),
    ({}, {"lossy": True}, Flag.LOSSY),
    ({}, {"contrast": True}, Flag.CONTRAST),
    ({"identities": (LUNGS, replace(TRIAGE, synthetic=True))}, {}, Flag.RESEARCH_WEIGHTS),
    ({"probability": 0.0}, {}, Flag.UNCALIBRATED),
    ({"sides_by_size": True}, {}, Flag.SIDES_BY_SIZE),
    ({"volume": volume(slice_mm=5.5)}, {}, Flag.THICK_SLICES),
    ({"extent": extent(reaches_head_end=True)}, {}, Flag.LUNG_CUT_OFF),
    ({"extent": extent(reaches_foot_end=True)}, {}, Flag.LUNG_CUT_OFF),
]


@pytest.mark.parametrize(("values", "said", "flag"), FLAGS)
def test_each_flag_is_set_by_its_own_sign_alone(values: dict[str, Any], said: dict[str, bool], flag: Flag) -> None:
    assert judged(prediction(**values), **said) == Verdict(flags=(flag,))


# -- learned lungs, and inputs that the networks do not know -------------------------------------------------------


def checked(verdict: crosscheck.Verdict, words: str = "") -> Prediction:
    return prediction(crosscheck=Crosscheck(verdict=verdict, words=words))


def test_lungs_that_agree_are_no_matter_of_a_flag() -> None:
    assert judged(checked(crosscheck.Verdict.AGREE)) == Verdict()


def test_lungs_that_disagree_are_flagged_and_it_is_said_by_how_much() -> None:
    verdict = judged(checked(crosscheck.Verdict.DISAGREE, "12 % of the air is missing"))
    assert verdict == Verdict(flags=(Flag.LUNGS_DISAGREE,), remarks=("12 % of the air is missing",))


def test_lungs_that_stand_in_are_flagged_and_named() -> None:
    verdict = judged(checked(crosscheck.Verdict.FAILED, "the learned method found no lungs"))
    assert verdict.flags == (Flag.LUNGS_DISAGREE,)
    assert verdict.remarks == ("the learned method found no lungs: the classical lungs stand in",)


def test_lungs_that_nothing_confirms_are_not_analysed() -> None:
    verdict = judged(checked(crosscheck.Verdict.UNCONFIRMED, "no air was found in them"))
    assert verdict.reason_code is Reason.LUNG_OPAQUE
    assert "both lungs may be opaque" in verdict.words
    assert verdict.words.endswith("no air was found in them")


@pytest.mark.parametrize("side", ["right", "left"])
def test_dense_lung_that_nobody_called_a_lesion_is_doubted_then_refused(side: str) -> None:
    def unexplained(share: float) -> Verdict:
        return judged(prediction(unexplained=(share, 0.01) if side == "right" else (0.01, share)))

    assert unexplained(quality.USUAL_UNEXPLAINED) == Verdict()
    doubted, refused = unexplained(quality.USUAL_UNEXPLAINED + 0.01), unexplained(quality.MOST_UNEXPLAINED + 0.01)
    assert doubted.flags == (Flag.LUNG_MAY_BE_MISSING,)
    assert doubted.remarks == (f"16 % of the {side} lung is dense without having been called a lesion",)
    assert refused.reason_code is Reason.LUNG_OPAQUE
    assert f"31 % of the {side} lung" in refused.words


def test_an_unfamiliar_input_is_flagged_and_a_very_strange_one_is_not_analysed() -> None:
    near, far = Unfamiliar(words="noise 50 HU (net)", far=False), Unfamiliar(words="air 20 HU (net)", far=True)
    assert judged(prediction(unfamiliar=(near, near))) == Verdict(
        flags=(Flag.UNFAMILIAR,), remarks=("unfamiliar: noise 50 HU (net); noise 50 HU (net)",)
    )
    verdict = judged(prediction(unfamiliar=(near, far)))
    assert verdict.reason_code is Reason.UNFAMILIAR
    assert verdict.words == "unfamiliar input: air 20 HU (net)"


def test_an_opaque_lung_is_named_before_the_strange_input_that_it_makes() -> None:
    """A lung without air has strange numbers; what the reader must know is that it is white."""
    strange = (Unfamiliar(words="air 20 HU (net)", far=True),)
    verdict = judged(prediction(unfamiliar=strange, extent=extent(lung_ml_left=100.0)))
    assert verdict.reason_code is Reason.LUNG_OPAQUE


def test_every_flag_that_applies_is_set() -> None:
    found = prediction(volume=volume(slice_mm=7.5), probability=0.4, sides_by_size=True)
    assert set(judged(found, partial=True, lossy=True, contrast=True).flags) == {
        *(Flag.PARTIAL, Flag.LOSSY, Flag.CONTRAST, Flag.UNCALIBRATED, Flag.SIDES_BY_SIZE, Flag.THICK_SLICES)
    }


@pytest.mark.parametrize("slice_mm", [5.0, 5.0000004, 5.002])
def test_five_millimetres_as_positions_round_them_are_not_thick(slice_mm: float) -> None:
    """Positions come with three decimals from many scanners, and a length computed from them is never quite 5."""
    assert judged(prediction(volume=volume(slice_mm=slice_mm))).flags == ()
