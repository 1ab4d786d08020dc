"""What cannot be analysed, and why: a code for programs and a sentence for people."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """Why a set of images is no volume, or a volume no chest. The values are those of `triaged.records.Reason`."""

    NO_AXIAL_CT = "no_axial_ct"
    DERIVED_ONLY = "derived_only"
    NOT_CHEST = "not_chest"
    TOO_FEW_SLICES = "too_few_slices"
    GAP = "gap"
    DUPLICATE_POSITIONS = "duplicate_positions"
    GANTRY_TILT = "gantry_tilt"
    GEOMETRY = "geometry"
    MULTIFRAME = "multiframe"
    SYNTAX = "syntax"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    NO_LUNGS = "no_lungs"


class NotAVolume(Exception):
    """The input cannot be analysed. `code` is a `Refusal`, `words` a sentence without patient data or paths."""

    def __init__(self, code: Refusal, words: str) -> None:
        self.code: str = code.value
        self.words = words
        super().__init__(f"{code.value}: {words}")

    def __reduce__(self) -> tuple[type[NotAVolume], tuple[Refusal, str]]:
        return NotAVolume, (Refusal(self.code), self.words)  # crosses process boundaries unchanged
