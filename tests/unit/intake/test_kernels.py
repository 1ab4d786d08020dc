"""Kernel names -> sharpness."""

from __future__ import annotations

import pytest

from triaged.intake.kernels import Sharpness, sharpness


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("B30f B31f Br36 Br38f Qr32d I31f STANDARD SOFT A B FC08 FC18 B_SOFT_B", Sharpness.SOFT),
        ("D40s B40f Br40 Br44d DETAIL C FC23 YA", Sharpness.MEDIUM),
        ("B50f B60f B70f B80s Bl57 Bl64 I70f LUNG BONE BONEPLUS L D FC30 FC52 FC81 B_SHARP_C", Sharpness.SHARP),
        ("XYZZY 7 K", Sharpness.UNKNOWN),
    ],
)
def test_every_vendors_name_is_understood(names: str, expected: Sharpness) -> None:
    assert {name: sharpness(name) for name in names.split()} == dict.fromkeys(names.split(), expected)


def test_case_and_spaces_do_not_matter_and_nothing_is_unknown() -> None:
    assert sharpness(" lung ") is Sharpness.SHARP
    assert sharpness("") is Sharpness.UNKNOWN
