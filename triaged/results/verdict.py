"""What an answer of the PACS means for us: it has the object, it may take it later, or it never will. Pure."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from triaged.config import Results

JITTER = 0.25  # the share of a delay that differs from object to object, so that they do not all come back at once


class Verdict(StrEnum):
    SENT = "sent"  # the PACS has it
    RETRY = "retry"  # not now
    PARK = "park"  # trying again cannot help


# PS3.7 annex C and PS3.4 table B.2-1. The object is there: warnings tell what the PACS did to its attributes.
STORED = {0x0000, 0x0001, 0x0107, 0x0116}
DUPLICATE = 0x0111  # the PACS has an object of this UID; UIDs of ours name one content, so it is ours
PERMANENT = {
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0112: "no such object instance",
    0x0115: "invalid argument value",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class-instance conflict",
    0x0120: "missing attribute",
    0x0121: "missing attribute value",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
}


def judge(status: int | None) -> tuple[Verdict, str]:
    """The verdict on a C-STORE status, and the reason in words. None: no answer came.

    A status nobody defined is worth another try; the number of tries is limited.
    """
    if status is None:
        return Verdict.RETRY, "the PACS gave no answer: it aborted the association or took too long"
    if status in STORED or 0xB000 <= status <= 0xBFFF:
        return Verdict.SENT, "" if status == 0 else f"stored with warning 0x{status:04X}"
    if status == DUPLICATE:
        return Verdict.SENT, "the PACS had it already"
    if status in PERMANENT:
        return Verdict.PARK, f"refused: {PERMANENT[status]} (0x{status:04X})"
    if 0xA800 <= status <= 0xA8FF:
        return Verdict.PARK, f"refused: SOP class not supported (0x{status:04X})"
    if 0xA900 <= status <= 0xA9FF:
        return Verdict.PARK, f"refused: data set does not match its SOP class (0x{status:04X})"
    if 0xC000 <= status <= 0xCFFF:
        return Verdict.PARK, f"refused: the PACS cannot understand it (0x{status:04X})"
    if 0xA700 <= status <= 0xA7FF:
        return Verdict.RETRY, f"the PACS is out of resources (0x{status:04X})"
    return Verdict.RETRY, f"the PACS failed with status 0x{status:04X}"


def back_off_s(attempt: int, key: str, rules: Results) -> float:
    """Seconds to wait after the `attempt`-th try (from 1): doubling, bounded, and a little less for some than others.

    The jitter is a digest of `key`, so that the same history gives the same times.
    """
    doublings = min(max(attempt, 1) - 1, 40)
    delay_s = min(rules.retry_longest_s, rules.retry_first_s * 2.0**doublings)
    drawn = hashlib.sha256(f"{key}|{attempt}".encode()).digest()
    return delay_s * (1.0 - JITTER * int.from_bytes(drawn[:4], "big") / 2**32)
