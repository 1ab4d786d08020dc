"""Which series is the chest CT? Pure, scored, with the reason in words.

Everything that is no slice of a chest is set aside with its reason; what is left is scored; the best is chosen. The
answer depends on the headers alone, not on their order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from triaged.intake.kernels import Sharpness, sharpness
from triaged.intake.stacks import Stack, plane_of, stacks_of
from triaged.records import Choice, InstanceHeader, Reason

CT_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})

# JPEG processes that PS3.5 retired in 1999 and no library decodes: spectral selection, progression, hierarchy. An image
# in one of them is set aside here, so that another series of the study can be chosen. The reader decides on the rest.
UNDECODABLE = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (*range(52, 57), *range(58, 67)))

# Fewer slices than this, even 20 mm apart, sample less than a fifth of a lung; spaced high-resolution CT has 20-30.
MIN_SLICES = 10
# An adult's lungs are 200-300 mm high. What covers less than this shows a part, and a percentage of a part misleads.
MIN_EXTENT_MM = 100.0
FULL_EXTENT_MM = 250.0

# ImageType values (PS3.3 C.8.16.1, and what scanners write): seen in any position.
_SCOUTS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "REF_SURVIEW"})
_NOT_CHEST_TYPES = frozenset({"TOMO", "TOMOSYNTHESIS"})
_PROJECTED = frozenset({"MIP", "MINIP", "MAX_IP", "MIN_IP", "VOLREN", "VOLUME RENDERING", "PROJECTION IMAGE", "3D"})
_MAPS = frozenset({"PERFUSION", "RCBF", "RCBV", "MTT", "TTP", "TMAX", "CSA PARALLEL", "DOSE_INFO", "SCREEN SAVE"})
_PROJECTION_WORDS = re.compile(r"\b(MIP|MINIP|MIN-?IP|VRT?|3D)\b")

# BodyPartExamined (PS3.16 annex L). It is copied from the protocol and often wrong, so only what names another part
# refuses, and a description that speaks of the chest overrules it.
_OTHER_PARTS = frozenset({
    "BREAST", "HEAD", "BRAIN", "SKULL", "HEADNECK", "NECK", "CSPINE", "LSPINE", "SSPINE", "ABDOMEN", "PELVIS",
    "ABDOMENPELVIS", "EXTREMITY", "ARM", "HAND", "WRIST", "ELBOW", "SHOULDER", "LEG", "KNEE", "ANKLE", "FOOT", "HIP",
    "JAW", "ORBIT", "EAR", "IAC", "SINUS", "LIVER", "KIDNEY", "COLON", "BLADDER",
})  # fmt: skip
_CHEST_WORDS = re.compile(r"CHEST|THOR|LUNG|PULMO|TORAX|TÓRAX|POUMON")
_OTHER_WORDS = re.compile(r"\b(HEAD|BRAIN|NECK|ABD|ABDOMEN|PELVIS|LIVER|SPINE|KNEE|CARDIAC|HEART|BOLUS|MONITOR)")
_CONTRAST_WORDS = re.compile(r"\b(C\+|CE|CTA|KM|CONTRAST|ART|ARTERIAL|VENOUS|PORTAL|PV)\b")

# Points. Coverage first: what is not imaged cannot be measured. Then the kernel, worth as much as a step from 1 mm to
# 10 mm slices, because its noise biases every HU threshold; then thickness, for partial volume at vessels and fissures.
_COVERAGE_POINTS = 40.0
_KERNEL_POINTS = {Sharpness.SOFT: 30.0, Sharpness.MEDIUM: 24.0, Sharpness.UNKNOWN: 18.0, Sharpness.SHARP: 0.0}
_COARSENESS_POINTS = ((0.55, 22.0), (0.95, 28.0), (2.05, 30.0), (3.05, 26.0), (5.05, 16.0), (7.55, 8.0))  # up to mm
_UNKNOWN_COARSENESS_POINTS = 8.0
_ORIGINAL_POINTS = 50.0  # DERIVED only where there is nothing else
_CHEST_POINTS, _OTHER_POINTS = 15.0, -30.0
_NO_CONTRAST_POINTS = 8.0  # contrast brightens vessels into what looks like lesion
_LOSSLESS_POINTS = 10.0
_FAULT_POINTS = -60.0  # a gap, a tilt, repeated positions: reading would refuse it


def may_be_chosen(sop_class_uid: str) -> bool:
    """Whether an instance of this class can ever be part of the choice: whether its arrival can change it."""
    return sop_class_uid in CT_CLASSES


@dataclass(frozen=True, kw_only=True)
class SeriesScore:
    """One stack that could be analysed, and how well."""

    series_uid: str
    sop_uids: tuple[str, ...]
    score: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The chosen series, or why there is none (`reason_code`, and `reason` in words). `ranked` is best first.

    The choice's slices are `ranked[0].sop_uids`: usually the whole series, without the scouts that lie in it.
    """

    choice: Choice | None
    reason_code: Reason | None
    reason: str
    ranked: tuple[SeriesScore, ...] = ()


@dataclass(frozen=True)
class _Refused:
    """Why something cannot be chosen. The study is refused for the most telling reason among its parts."""

    code: Reason
    words: str
    slices: int


# From what says most about the study to what says least.
_TELLING = (
    Reason.SYNTAX,
    Reason.DUPLICATE_POSITIONS,
    Reason.GANTRY_TILT,
    Reason.GAP,
    Reason.SHORT_COVERAGE,
    Reason.TOO_FEW_SLICES,
    Reason.NOT_CHEST,
    Reason.DERIVED_ONLY,
    Reason.NO_AXIAL_CT,
    Reason.NOT_CT,
)


def select(headers: Sequence[InstanceHeader], versions: Sequence[InstanceHeader] = ()) -> Selection:
    """The series to analyse among all instances of one study, or the reason why there is none.

    `versions` are other contents of the same instances: never chosen, but whose images they say these are, counts.
    """
    images = list({h.sop_uid: h for h in sorted(headers, key=_total_order)}.values())
    said = {h.patient_key for h in (*headers, *versions) if may_be_chosen(h.sop_class_uid)}
    patients = said - {""}  # unnamed is no other patient
    if len(patients) > 1:
        words = f"the images name {len(patients)} different patients"
        return Selection(choice=None, reason_code=Reason.CONFLICTING_IDENTITY, reason=words)
    usable, refused = _sift(images)
    stacks = []
    for stack in stacks_of(usable):
        why = _unfit(stack)
        if why is None:
            stacks.append(stack)
        else:
            refused.append(why)
    if not stacks:
        return _refusal(refused)
    scored = sorted(stacks, key=_rank)
    return Selection(
        choice=_choice(scored),
        reason_code=None,
        reason="",
        ranked=tuple(_scored(stack) for stack in scored),
    )


def _total_order(header: InstanceHeader) -> tuple[str, str, str]:
    """Which of two headers with one SOP Instance UID counts must not depend on which came first."""
    return header.sop_uid, header.series_uid, repr(header)


def _sift(images: Sequence[InstanceHeader]) -> tuple[list[InstanceHeader], list[_Refused]]:
    usable, refused = [], []
    for image in images:
        why = _no_slice(image)
        if why is None:
            usable.append(image)
        else:
            refused.append(_Refused(*why, slices=1))
    return usable, refused


def _no_slice(image: InstanceHeader) -> tuple[Reason, str] | None:
    """Why an image is no axial slice of a CT volume; None where it may be one."""
    kinds = {v.replace("-", "_") for v in image.image_type}
    if not may_be_chosen(image.sop_class_uid):
        return Reason.NOT_CT, "no CT images (by SOP class)"
    if kinds & _SCOUTS:
        return Reason.NO_AXIAL_CT, "no axial CT series: localizers only"
    if kinds & _NOT_CHEST_TYPES:
        return Reason.NOT_CHEST, "not a chest CT: tomosynthesis"
    if image.body_part == "BREAST":
        return Reason.NOT_CHEST, "not a chest CT: body part BREAST"
    if kinds & (_PROJECTED | _MAPS) or _PROJECTION_WORDS.search(image.series_description.upper()):
        return Reason.DERIVED_ONLY, "derived images only: projections or maps, not slices in HU"
    if not image.has_pixels or image.samples_per_pixel != 1:
        return Reason.NO_AXIAL_CT, "no axial CT series: pictures without HU"
    plane = plane_of(image)
    if plane != "axial":
        words = f"no axial CT series: {plane} images only" if plane else "no image says where it lies"
        return Reason.NO_AXIAL_CT, words
    if image.transfer_syntax_uid in UNDECODABLE:
        name = UID(image.transfer_syntax_uid).name
        return Reason.SYNTAX, f"transfer syntax {image.transfer_syntax_uid} cannot be decoded: {name}"[:120]
    return None


def _unfit(stack: Stack) -> _Refused | None:
    """Why a stack of slices cannot be analysed, before any pixel is read; None where it can."""
    part, words = stack.first.body_part.replace(" ", "").replace("_", ""), stack.first.series_description.upper()
    if part in _OTHER_PARTS and not _CHEST_WORDS.search(words):
        return _Refused(Reason.NOT_CHEST, f"not a chest CT: body part {stack.first.body_part}", stack.slices)
    fault = stack.fault()
    if fault is not None and (stack.slices < MIN_SLICES or fault[0] is Reason.DUPLICATE_POSITIONS):
        return _Refused(fault[0], fault[1], stack.slices)
    if stack.slices < MIN_SLICES:
        words = f"too few slices: {stack.slices}, at least {MIN_SLICES} are needed"
        return _Refused(Reason.TOO_FEW_SLICES, words, stack.slices)
    if stack.extent_mm < MIN_EXTENT_MM:
        words = f"{stack.extent_mm:.0f} mm covered, at least {MIN_EXTENT_MM:.0f} mm of chest are needed"
        return _Refused(Reason.SHORT_COVERAGE, words, stack.slices)
    return None


def _refusal(refused: Sequence[_Refused]) -> Selection:
    if not refused:
        return Selection(choice=None, reason_code=Reason.NOT_CT, reason="no images")
    best = min(refused, key=lambda r: (_TELLING.index(r.code), -r.slices, r.words))
    return Selection(choice=None, reason_code=best.code, reason=best.words)


# -- the score ----------------------------------------------------------------------------------------------------


def _score(stack: Stack) -> float:
    first = stack.first
    words = first.series_description.upper()
    points = _COVERAGE_POINTS * min(stack.extent_mm, FULL_EXTENT_MM) / FULL_EXTENT_MM
    points += _KERNEL_POINTS[sharpness(first.kernel)]
    points += _coarseness_points(stack.coarseness_mm)
    points += _ORIGINAL_POINTS if "DERIVED" not in first.image_type[:1] else 0.0
    if _CHEST_WORDS.search(first.body_part) or _CHEST_WORDS.search(words):
        points += _CHEST_POINTS
    elif _OTHER_WORDS.search(words):
        points += _OTHER_POINTS
    points += 0.0 if _has_contrast(stack) else _NO_CONTRAST_POINTS
    points += 0.0 if any(image.lossy for image in stack.images) else _LOSSLESS_POINTS
    points += _FAULT_POINTS if stack.fault() else 0.0
    return round(points, 3)


def _coarseness_points(coarseness_mm: float | None) -> float:
    if coarseness_mm is None:
        return _UNKNOWN_COARSENESS_POINTS
    return next((points for limit, points in _COARSENESS_POINTS if coarseness_mm <= limit), 0.0)


def names_agent(header: InstanceHeader) -> bool:
    """Whether Contrast/Bolus Agent (0018,0010) names one. Scanners also write into it that there was none."""
    return header.contrast_agent.upper() not in {"", "NONE", "NO", "NATIVE"}


def _has_contrast(stack: Stack) -> bool:
    first = stack.first
    return names_agent(first) or bool(_CONTRAST_WORDS.search(first.series_description.upper()))


def _rank(stack: Stack) -> tuple[float, int, int, str, str]:
    """Best first; where points are equal the one with more slices, then the one that the scanner numbered first."""
    number = stack.first.series_number
    return (
        -_score(stack),
        -stack.slices,
        2**31 if number is None else number,
        stack.first.series_uid,
        stack.first.sop_uid,
    )


# -- in words -----------------------------------------------------------------------------------------------------


def _choice(scored: Sequence[Stack]) -> Choice:
    best = scored[0]
    sop_uids = sorted(image.sop_uid for image in best.images)
    return Choice(
        series_uid=best.first.series_uid,
        reason=_in_words(best, scored[1] if len(scored) > 1 else None),
        slices=best.slices,
        input_digest=hashlib.sha256("\n".join(sop_uids).encode()).hexdigest(),
    )


def _in_words(best: Stack, other: Stack | None) -> str:
    """ "5 mm axial, soft kernel B over sharp L, 56 slices covering 280 mm": at most about 120 characters."""
    contrast = ", contrast" if _has_contrast(best) else ""
    derived = " derived" if "DERIVED" in best.first.image_type[:1] else ""
    parts = [f"{_thickness(best)}{derived} axial{contrast}", _kernel(best, other)]
    parts.append(f"{best.slices} slices covering {best.extent_mm:.0f} mm")
    if other is not None and _kernel(best, None) == _kernel(other, None) and _thickness(best) != _thickness(other):
        parts[0] = f"{_thickness(best)} over {_thickness(other)}{derived} axial{contrast}"
    return ", ".join(part for part in parts if part)[:120]


def _thickness(stack: Stack) -> str:
    thickness = stack.thickness_mm or stack.spacing_mm
    return "unknown thickness" if thickness is None else f"{round(thickness, 2):g} mm"


def _kernel(stack: Stack, other: Stack | None) -> str:
    kind, name = sharpness(stack.first.kernel), stack.first.kernel[:16]
    words = f"kernel {name}".strip() if kind is Sharpness.UNKNOWN else f"{kind.name.lower()} kernel {name}"
    if other is None or not stack.first.kernel or sharpness(other.first.kernel) in {kind, Sharpness.UNKNOWN}:
        return words if stack.first.kernel else ""
    return f"{words} over {sharpness(other.first.kernel).name.lower()} {other.first.kernel[:16]}"


def _scored(stack: Stack) -> SeriesScore:
    return SeriesScore(
        series_uid=stack.first.series_uid,
        sop_uids=tuple(image.sop_uid for image in stack.images),
        score=_score(stack),
        words=_in_words(stack, None),
    )
