"""Real parts for tests of the order: a store in a file, and studies that arrive, settle and are analysed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from triaged.clock import Now
from triaged.config import Config, parse
from triaged.records import (
    Arrival,
    Choice,
    Findings,
    Grade,
    ModelIdentity,
    OrderPriority,
    Outcome,
    PlannedDelivery,
    Provenance,
    Role,
    SeriesRow,
    Study,
    StudyHeader,
    StudyState,
)
from triaged.store import Store
from triaged.worklist import policy
from triaged.worklist.board import BoardItem, commit_outcome, read_board

START = Now(utc=datetime(2026, 3, 9, 8, 0, tzinfo=UTC), mono_s=1000.0)
PROVENANCE = Provenance(
    models=(ModelIdentity(role="lungs", name="classical-lungs", version="1"),),
    triaged_version="0.1",
    device="cpu",
    config_digest="c" * 64,
    seconds={"read": 1.5},
)


def config_of(folder: Path, text: str = "", mode: str = "live") -> Config:
    """Settings with this storage folder; live, with nothing to send, unless `text` says more."""
    results = "" if "[results]" in text else "[results]\nsend = []\n"
    return parse(f'mode = "{mode}"\n[storage]\npath = "{folder}"\n{results}{text}')


def findings_of(
    severity: float | None = None,
    *,
    left: float | None = None,
    right: float | None = None,
    p: float | None = None,
    grade: Grade | None = None,
) -> Findings:
    """Findings with this affected fraction (of the right lung, unless both sides are given) and probability."""
    sides = (left, right) if left is not None or right is not None else (0.0 if severity else severity, severity)
    known = [side for side in sides if side is not None]
    return Findings(
        covid_probability=p,
        affected_fraction_left=sides[0],
        affected_fraction_right=sides[1],
        affected_fraction=max(known) if known else None,
        ct_grade=grade,
        provenance=PROVENANCE,
    )


def analysed(findings: Findings, digest: str = "d1") -> Outcome:
    choice = Choice(series_uid="1.2.3.1", reason="thinnest axial", slices=31, input_digest=digest)
    return Outcome(state=StudyState.ANALYSED, choice=choice, findings=findings)


def not_analysed(reason: str = "gap of 10 mm") -> Outcome:
    return Outcome(state=StudyState.NOT_ANALYSED, reason_code="gap", reason=reason)


def failed(reason: str = "out of memory") -> Outcome:
    return Outcome(state=StudyState.FAILED, reason_code="MemoryError", reason=reason)


def planned(uid: str, now: Now, *roles: Role) -> list[PlannedDelivery]:
    return [
        PlannedDelivery(role=role, sop_uid=f"{uid}.{n}", series_uid=f"{uid}.9{n}", not_before=now.utc)
        for n, role in enumerate(roles or tuple(Role), start=1)
    ]


@dataclass
class House:
    """What the rooms around the store would do, by their own functions."""

    store: Store
    config: Config

    def arrival(self, uid: str, priority: OrderPriority, now: Now, *, images: int = 31) -> Arrival:
        series = SeriesRow(
            series_uid=f"{uid}.1",
            study_uid=uid,
            modality="CT",
            description="Thorax 1.0",
            kernel="B70f",
            slice_thickness_mm=1.0,
            instance_count=images,
        )
        return Arrival(
            header=StudyHeader(
                study_uid=uid, patient_id="SECRET-ID", patient_name="SECRET^NAME", study_date="20260309"
            ),
            association=f"assoc-{uid}",
            calling_ae="PACS",
            called_ae="TRIAGED",
            order_priority=priority,
            priority_source="rule 1: called AE is TRIAGED" if priority is not OrderPriority.UNKNOWN else "",
            place=policy.place(now.utc, priority, 0.0, self.config.worklist),
            is_reference=False,
            series=(series,),
            new_images=images,
        )

    def arrive(
        self,
        uid: str,
        now: Now = START,
        priority: OrderPriority = OrderPriority.ROUTINE,
        *,
        images: int = 31,
        is_reference: bool = False,
    ) -> None:
        arrival = replace(self.arrival(uid, priority, now, images=images), is_reference=is_reference)
        self.store.studies.arrived(arrival, now)
        self.store.studies.association_closed(arrival.association, now)

    def settle(self, now: Now = START) -> None:
        for pending in self.store.studies.pending():
            assert self.store.studies.settle(pending, partial=False, now=now)

    def ready(self, uid: str, now: Now = START, priority: OrderPriority = OrderPriority.ROUTINE) -> None:
        self.arrive(uid, now, priority)
        self.settle(now)

    def finish_next(self, outcome: Outcome, now: Now = START, deliveries: list[PlannedDelivery] | None = None) -> str:
        """Claim what is next and end it with this outcome; returns its study."""
        claim = self.store.queue.claim("worker-1", now)
        assert claim is not None
        if claim.is_recheck:
            claim = self.store.queue.reopen(claim, now)
        commit_outcome(self.store, self.config, claim, outcome, deliveries or [], now)
        return claim.study.study_uid

    def study(self, uid: str) -> Study:
        return self.store.studies.get(uid)

    def order(self, now: Now = START) -> list[str]:
        return [item.study.study_uid for item in read_board(self.store, self.config, now).items]

    def item(self, uid: str, now: Now = START) -> BoardItem:
        return next(i for i in read_board(self.store, self.config, now).items if i.study.study_uid == uid)
