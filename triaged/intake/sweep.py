"""The scheduler's round over what is still coming in: settle what is complete, say when to look again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from triaged.clock import Now
from triaged.config import Assembly
from triaged.intake.assembly import ExpectedCount, Ready, decide
from triaged.store import Store

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 60.0  # with nothing pending; arrivals do not wait for it, the scheduler comes every second

Expect = Callable[[str, Now], ExpectedCount | None]


def nobody_was_asked(study_uid: str, now: Now) -> None:
    return None


def sweep(store: Store, rules: Assembly, now: Now, expect: Expect = nobody_was_asked) -> float:
    """Settle every study that is ready; returns the seconds until the next one may be.

    `expect` says what the PACS holds of a study, where that is asked (counts.py).
    """
    next_at = now.mono_s + LOOK_AGAIN_S
    for pending in store.studies.pending():
        decision = decide(pending, now, rules, expect(pending.study_uid, now))
        if not isinstance(decision, Ready):
            next_at = min(next_at, decision.until_mono_s)
        elif store.studies.settle(pending, partial=decision.partial, now=now):
            waited_s = round(now.mono_s - pending.first_mono_s, 3)
            log.info(
                "study ready", extra={"study": pending.study_uid, "waited_s": waited_s, "partial": decision.partial}
            )
        else:
            next_at = now.mono_s  # something came while we decided
    return max(next_at - now.mono_s, 0.0)
