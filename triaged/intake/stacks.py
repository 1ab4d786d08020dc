"""Image headers -> stacks: images of one series that can lie in one volume, and how they lie. Pure.

A series is no promise of a volume: a scout lies among the slices, two breath-holds share a series, a monitored bolus
repeats one position.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median

from triaged.records import InstanceHeader, Reason

Vector = tuple[float, float, float]

# Gantries tilt by 30 degrees at most; what leans further is a reformat.
AXIAL_WITHIN_DEG = 30.0
# As in reading the volume: DS carries 0.1 mm or so; equal is equal to well below that.
SAME_POSITION_MM = 0.01
TILT_DEG = 1.0
UNEVEN_FRACTION, UNEVEN_MM = 0.10, 0.11
REPEATED_FRACTION = 0.5  # more repeated positions than this is a bolus run or several phases
DIRECTION_DIGITS, SPACING_DIGITS = 2, 3  # direction cosines of one stack differ by rounding only


@dataclass(frozen=True)
class Stack:
    """Images of one series, one orientation, one size. Never empty; sorted by SOP Instance UID."""

    images: tuple[InstanceHeader, ...]

    @property
    def first(self) -> InstanceHeader:
        return self.images[0]

    @property
    def slices(self) -> int:
        return sum(image.number_of_frames for image in self.images)

    @property
    def is_multiframe(self) -> bool:
        return any(image.number_of_frames > 1 for image in self.images)

    @cached_property
    def thickness_mm(self) -> float | None:
        known = [image.slice_thickness_mm for image in self.images if image.slice_thickness_mm]
        return median(known) if known else None

    @cached_property
    def along_mm(self) -> tuple[float, ...]:
        """Distinct positions along the slice normal, ascending."""
        normal = normal_of(self.first)
        if normal is None:
            return ()
        distinct: list[float] = []
        for along in sorted(_dot(image.position_mm, normal) for image in self.images if image.position_mm):
            if not distinct or along - distinct[-1] >= SAME_POSITION_MM:
                distinct.append(along)
        return tuple(distinct)

    @cached_property
    def spacing_mm(self) -> float | None:
        """The usual distance between neighbours; None where there is none."""
        gaps = [b - a for a, b in pairwise(self.along_mm)]
        return median(gaps) if gaps else None

    @property
    def extent_mm(self) -> float:
        """What the slices cover, first to last and one slice more; of a multi-frame object an estimate."""
        step = self.spacing_mm or self.thickness_mm or 0.0
        if self.is_multiframe:
            return self.slices * (self.thickness_mm or 0.0)
        return (self.along_mm[-1] - self.along_mm[0] + step) if self.along_mm else 0.0

    @property
    def coarseness_mm(self) -> float | None:
        """The larger of thickness and spacing: what the volume resolves along its axis."""
        known = [v for v in (self.thickness_mm, self.spacing_mm) if v]
        return max(known) if known else None

    def fault(self) -> tuple[Reason, str] | None:
        """What would keep these images from being one regular volume, from the headers alone."""
        positions = len(self.along_mm)
        if self.is_multiframe:
            return None
        if len(self.images) > 1 and positions <= REPEATED_FRACTION * len(self.images):
            return Reason.DUPLICATE_POSITIONS, f"{len(self.images)} images at {positions} position(s), not a volume"
        tilt = self.tilt_deg()
        if tilt > TILT_DEG:
            return Reason.GANTRY_TILT, f"slices sheared by a gantry tilt of {tilt:.0f} degrees"
        return self._gap()

    def _gap(self) -> tuple[Reason, str] | None:
        rule = self.spacing_mm
        if rule is None:
            return None
        worst = max((b - a for a, b in pairwise(self.along_mm)), key=lambda gap: abs(gap - rule))
        if abs(worst - rule) <= max(UNEVEN_FRACTION * rule, UNEVEN_MM):
            return None
        return Reason.GAP, f"{worst:g} mm between two slices where {rule:g} mm is the rule"

    def tilt_deg(self) -> float:
        """Angle between the slice normal and the line on which the slices follow each other."""
        normal, ends = normal_of(self.first), self._ends()
        if normal is None or ends is None:
            return 0.0
        line = (ends[1][0] - ends[0][0], ends[1][1] - ends[0][1], ends[1][2] - ends[0][2])
        length = math.sqrt(_dot(line, line))
        return math.degrees(math.acos(min(1.0, abs(_dot(line, normal)) / length))) if length else 0.0

    def _ends(self) -> tuple[Vector, Vector] | None:
        normal = normal_of(self.first)
        placed = [image.position_mm for image in self.images if image.position_mm]
        if normal is None or len(self.along_mm) < 2:
            return None
        return min(placed, key=lambda p: _dot(p, normal)), max(placed, key=lambda p: _dot(p, normal))


def stacks_of(images: Iterable[InstanceHeader]) -> list[Stack]:
    """Images grouped by what must be equal in one volume; two acquisitions over the same positions are taken apart."""
    groups: dict[tuple[object, ...], list[InstanceHeader]] = defaultdict(list)
    for image in images:
        groups[_kind(image)].append(image)
    found = []
    for group in groups.values():
        found += _by_acquisition(sorted(group, key=lambda i: i.sop_uid))
    return sorted(found, key=lambda s: (s.first.series_uid, s.first.sop_uid))


def _kind(image: InstanceHeader) -> tuple[object, ...]:
    direction = tuple(round(v, DIRECTION_DIGITS) + 0.0 for v in image.orientation or ())
    spacing = tuple(round(v, SPACING_DIGITS) for v in image.pixel_spacing_mm or ())
    return image.series_uid, direction, image.rows, image.columns, spacing, image.kernel, image.image_type[:1]


def _by_acquisition(images: Sequence[InstanceHeader]) -> list[Stack]:
    """One stack, unless positions repeat and the acquisition number says why.

    Sequential scanners count every rotation as an acquisition: the number alone means nothing.
    """
    whole = Stack(tuple(images))
    if whole.is_multiframe or len(whole.along_mm) == len(images):
        return [whole]
    parts: dict[int | None, list[InstanceHeader]] = defaultdict(list)
    for image in images:
        parts[image.acquisition_number].append(image)
    split = [Stack(tuple(part)) for part in parts.values()]
    resolved = all(len(part.along_mm) == len(part.images) > 1 for part in split)
    return split if resolved and len(split) > 1 else [whole]


def normal_of(image: InstanceHeader) -> Vector | None:
    """Unit normal of the image plane, row direction x column direction (PS3.3 C.7.6.2.1.1); None where unknown."""
    if image.orientation is None:
        return None
    a, b, c, d, e, f = image.orientation
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.sqrt(_dot(normal, normal))
    return None if length < 0.5 else (normal[0] / length, normal[1] / length, normal[2] / length)


def plane_of(image: InstanceHeader) -> str:
    """ "axial", "coronal" or "sagittal": the plane that the image lies nearest to; "" where it does not say."""
    normal = normal_of(image)
    if normal is None:
        return ""
    if abs(normal[2]) >= math.cos(math.radians(AXIAL_WITHIN_DEG)):
        return "axial"
    return "coronal" if abs(normal[1]) >= abs(normal[0]) else "sagittal"


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
