"""What is to be analysed: claims, heartbeats, outcomes.

The queue is the reading list itself: a worker takes the study that a radiologist would be shown first, so that a
STAT never waits behind a backlog.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from triaged.clock import Now
from triaged.errors import ClaimLost, NotPossible
from triaged.records import Claim, Findings, Flag, Outcome, Place, PlannedDelivery, Study, StudyState
from triaged.store import rows
from triaged.store.studies import SELECT

if TYPE_CHECKING:
    from triaged.store.store import Store

CLAIMABLE = (
    "settled_generation > examined_generation AND claim_token IS NULL AND state NOT IN ('withdrawn', 'receiving')"
)


def _as_partial(study: Study) -> Findings | None:
    """The study's findings, flagged as partial where its images now are, and only there."""
    if study.findings is None:
        return None
    others = tuple(flag for flag in study.findings.flags if flag is not Flag.PARTIAL)
    return replace(study.findings, flags=(Flag.PARTIAL, *others) if study.partial else others)


class Queue:
    def __init__(self, store: Store) -> None:
        self._store = store

    def depth(self) -> int:
        row = self._store.row(f"SELECT count(*) AS n FROM studies WHERE {CLAIMABLE}")  # noqa: S608
        return 0 if row is None else int(row["n"])

    def claim(self, worker: str, now: Now) -> Claim | None:
        """The next study in reading order, held by `worker`; None where nothing is ready.

        The attempt is counted now, not at the end: an analysis that kills its process has been tried.
        """
        with self._store.atomic():
            row = self._store.row(
                f"""{SELECT} WHERE {CLAIMABLE}
                    ORDER BY pinned_at IS NULL, is_reference, tier, due, arrival_seq LIMIT 1"""
            )
            if row is None:
                return None
            study = rows.study(row)
            is_recheck = study.state.has_outcome
            token = uuid.uuid4().hex
            self._store.execute(
                """UPDATE studies SET claim_token = ?, claimed_by = ?, claim_beat_mono = ?, attempts = attempts + 1,
                       state = ? WHERE study_uid = ?""",
                (token, worker, now.mono_s, study.state if is_recheck else StudyState.ANALYSING, study.study_uid),
            )
            self._store.events.add("claimed", now, study_uid=study.study_uid, detail={"worker": worker})
            return Claim(token=token, study=self._store.studies.get(study.study_uid), is_recheck=is_recheck)

    def claim_of(self, token: str) -> Claim | None:
        """The claim that a token stands for; None where it is gone."""
        row = self._store.row(f"{SELECT} WHERE claim_token = ?", (token,))
        if row is None:
            return None
        study = rows.study(row)
        return Claim(token=token, study=study, is_recheck=study.state.has_outcome)

    def beat(self, token: str, now: Now) -> bool:
        """The worker is alive. False where the claim is no longer its own."""
        with self._store.atomic():
            return bool(
                self._store.execute("UPDATE studies SET claim_beat_mono = ? WHERE claim_token = ?", (now.mono_s, token))
            )

    def reopen(self, claim: Claim, now: Now) -> Claim:
        """The selection changed under an outcome: the study is being analysed again. Raises ClaimLost."""
        with self._store.atomic():
            self._hold(claim)
            self._store.execute(
                "UPDATE studies SET state = ? WHERE claim_token = ?", (StudyState.ANALYSING, claim.token)
            )
            self._store.events.add("reopened", now, study_uid=claim.study.study_uid)
            return Claim(token=claim.token, study=self._store.studies.get(claim.study.study_uid), is_recheck=False)

    def unchanged(self, claim: Claim, now: Now) -> None:
        """Late images did not change the selection: the outcome stands, for all the images. Raises ClaimLost."""
        with self._store.atomic():
            self._hold(claim)
            self._store.execute(
                """UPDATE studies SET examined_generation = ?, claim_token = NULL, claimed_by = NULL, attempts = 0,
                       reason_code = CASE state WHEN 'analysed' THEN NULL ELSE reason_code END,
                       reason = CASE state WHEN 'analysed' THEN NULL ELSE reason END, findings = ?
                   WHERE claim_token = ?""",
                (claim.study.settled_generation, rows.to_json(rows.FINDINGS, _as_partial(claim.study)), claim.token),
            )
            self._store.events.add("selection_unchanged", now, study_uid=claim.study.study_uid)

    def keep(self, claim: Claim, outcome: Outcome, now: Now) -> int:
        """Analysing again came to nothing: the earlier result stands, with its deliveries, and says what happened.

        A study that was read meanwhile is flagged: it now holds images that no result has seen. Returns the revision
        that stands. Raises ClaimLost.
        """
        uid = claim.study.study_uid
        is_ours = outcome.is_our_failure
        words = "analysing it again failed" if is_ours else "an earlier result; its present images are not analysed"
        with self._store.atomic():
            self._hold(claim)
            self._store.execute(
                """UPDATE studies SET state = ?, reason_code = ?, reason = ?, examined_generation = ?, attempts = 0,
                       claim_token = NULL, claimed_by = NULL,
                       changed_since_read = (changed_since_read OR reading = 'read') WHERE study_uid = ?""",
                (
                    StudyState.ANALYSED,
                    outcome.reason_code,
                    f"{words}: {outcome.reason}",
                    claim.study.settled_generation,
                    uid,
                ),
            )
            detail: dict[str, object] = {"code": outcome.reason_code, "why": outcome.reason}
            self._store.events.add("analysed_again_in_vain", now, study_uid=uid, detail=detail)
            return claim.study.revision

    def finish(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        urgency: float,
        place: Place,
        deliveries: Sequence[PlannedDelivery],
        now: Now,
    ) -> int:
        """Commit outcome, due time and deliveries together; returns the revision. Raises ClaimLost."""
        uid = claim.study.study_uid
        with self._store.atomic():
            self._hold(claim)
            revision = claim.study.revision + 1
            choice = rows.to_json(rows.CHOICE, outcome.choice)
            findings = rows.to_json(rows.FINDINGS, outcome.findings)
            said = (outcome.state, outcome.reason_code, outcome.reason, choice, findings, rows.to_text(now.utc))
            self._store.execute(
                """INSERT INTO outcomes
                       (study_uid, revision, state, reason_code, reason, choice, findings, committed_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
                (uid, revision, *said),
            )
            self._store.execute(
                """UPDATE studies SET state = ?, reason_code = ?, reason = ?, choice = ?, findings = ?,
                       completed_at = ?, revision = ?, attempts = 0, examined_generation = ?,
                       claim_token = NULL, claimed_by = NULL, urgency = ?, tier = ?, due = ?,
                       changed_since_read = (changed_since_read OR reading = 'read')
                   WHERE study_uid = ?""",
                (*said, revision, claim.study.settled_generation, urgency, place.tier, rows.to_text(place.due), uid),
            )
            self._store.deliveries.plan(uid, revision, deliveries, now)
            if outcome.voids_earlier:
                self._store.deliveries.void(uid, why=outcome.reason or "", now=now)
            detail: dict[str, object] = {"revision": revision, "urgency": urgency}
            if outcome.findings is not None:
                detail["seconds"] = outcome.findings.provenance.seconds
            if outcome.reason_code is not None:
                detail |= {"code": outcome.reason_code, "why": outcome.reason}
            self._store.events.add(outcome.state.value, now, study_uid=uid, detail=detail)
            return revision

    def release(self, token: str, *, why: str, count_attempt: bool, now: Now) -> None:
        """Give a claim up; the study waits again where it stood. Does nothing where the claim is already gone."""
        with self._store.atomic():
            row = self._store.row("SELECT study_uid FROM studies WHERE claim_token = ?", (token,))
            if row is None:
                return
            self._store.execute(
                """UPDATE studies SET claim_token = NULL, claimed_by = NULL, attempts = attempts - ?,
                       state = CASE WHEN state = 'analysing' THEN 'ready' ELSE state END
                   WHERE claim_token = ?""",
                (0 if count_attempt else 1, token),
            )
            self._store.events.add("released", now, study_uid=row["study_uid"], detail={"why": why})

    def tokens_of(self, worker: str) -> list[str]:
        found = self._store.rows("SELECT claim_token FROM studies WHERE claimed_by = ?", (worker,))
        return [row["claim_token"] for row in found if row["claim_token"]]

    def tokens(self, silent_since_mono_s: float | None = None) -> list[str]:
        """Every claim, or those that have not beaten since that time."""
        found = self._store.rows(
            "SELECT claim_token FROM studies WHERE claim_token IS NOT NULL AND claim_beat_mono < ?",
            (float("inf") if silent_since_mono_s is None else silent_since_mono_s,),
        )
        return [row["claim_token"] for row in found]

    def requeue(self, study_uid: str, *, by: str, now: Now) -> None:
        """Analyse again from the beginning, whatever the outcome was. Raises NotPossible, UnknownStudy."""
        with self._store.atomic():
            self._require_requeueable(study_uid)
            self._store.execute(
                """UPDATE studies SET generation = generation + 1, settled_generation = generation + 1, attempts = 0,
                       claim_token = NULL, claimed_by = NULL, state = 'ready' WHERE study_uid = ?""",
                (study_uid,),
            )
            self._store.events.add("requeued", now, study_uid=study_uid, detail={"by": by})

    def _require_requeueable(self, study_uid: str) -> None:
        """What is not there, or not all there, would end as a worse result than the one that it replaces."""
        study = self._store.studies.get(study_uid)
        if study.state is StudyState.RECEIVING:
            raise NotPossible("its images are still arriving: it will be analysed when they are complete")
        if study.state is StudyState.WITHDRAWN:
            raise NotPossible(f"it was withdrawn: {study.reason}")
        removed = self._store.row("SELECT images_removed_at AS at FROM studies WHERE study_uid = ?", (study_uid,))
        if removed is not None and removed["at"] is not None:
            raise NotPossible("its images were removed after their time: send it again, and it will be analysed")

    def _hold(self, claim: Claim) -> None:
        held = self._store.row("SELECT 1 FROM studies WHERE claim_token = ?", (claim.token,))
        if held is None:
            raise ClaimLost(f"study {claim.study.study_uid} is no longer claimed by this worker")
