"""A reading list as a hospital has one, in a real store: for the tests of the board and for looking at it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw

from triaged import artefacts
from triaged.clock import Now
from triaged.config import Config, parse
from triaged.records import (
    Arrival,
    Choice,
    Findings,
    Flag,
    Grade,
    ModelIdentity,
    OrderPriority,
    Outcome,
    PlannedDelivery,
    Provenance,
    Role,
    SeriesRow,
    StudyHeader,
    StudyState,
)
from triaged.store import Store
from triaged.web.status import DaemonStatus
from triaged.worklist import policy
from triaged.worklist.board import commit_outcome

ROOT = "1.2.826.0.1.3680043.10.543"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One study of the sample. `right` and `left` are affected fractions; None where there is no result."""

    name: str
    minutes_ago: float
    birth: str = ""
    age: str = ""
    sex: str = ""
    patient_id: str = ""
    description: str = "CT Thorax"
    station: str = ""
    priority: OrderPriority = OrderPriority.UNKNOWN
    source: str = ""
    right: float | None = None
    left: float | None = None
    score: float | None = None
    not_analysed: tuple[str, str] | None = None
    failed: tuple[str, str] | None = None
    state: StudyState = StudyState.ANALYSED
    reference: bool = False


STAT, HIGH, ROUTINE, LOW = OrderPriority.STAT, OrderPriority.HIGH, OrderPriority.ROUTINE, OrderPriority.LOW
CASES = (
    Case(name="BERGSTRÖM^INGRID^MARIA", minutes_ago=1530, birth="19510302", sex="F", patient_id="4471902", right=0.0,
         left=0.0, score=0.04, station="CT-2 AMB", priority=ROUTINE, source="rule 2: called AE is ROUTINE"),
    Case(name="NGUYEN^VAN AN", minutes_ago=1490, age="044Y", sex="M", patient_id="4471933", right=0.021, left=0.013,
         score=0.31, station="CT-2 AMB"),
    Case(name="OKONKWO-FITZGERALD DE LA CRUZ^MAXIMILIANA ESPERANZA", minutes_ago=600, birth="19780612", sex="F",
         patient_id="AUX-0000992871-7", right=0.34, left=0.41, score=0.93, station="CT-1 NOTAUFNAHME",
         description="CT Thorax/Abdomen mit KM, Staging und Verlaufskontrolle nach Therapie"),
    Case(name="ROSSI^GIULIA", minutes_ago=480, birth="19900905", sex="F", patient_id="4472013", right=0.008, left=0.0,
         score=0.12, station="CT-3", priority=LOW, source="rule 4: StudyDescription contains follow-up",
         description="CT chest low dose, follow-up"),
    Case(name="TANAKA^HIROSHI", minutes_ago=430, age="071Y", sex="M", patient_id="4472044", right=0.62, left=0.48,
         score=0.97, station="CT-1"),
    Case(name="SILVA^ANA BEATRIZ", minutes_ago=400, birth="19660228", sex="F", patient_id="4472051", station="CT-3",
         not_analysed=("gap", "10 mm between slices 41 and 42, expected 1.25 mm; sent incomplete?")),
    Case(name="DUBOIS^JEAN-PIERRE", minutes_ago=360, birth="19590711", sex="M", patient_id="4472060", right=0.09,
         left=0.14, score=0.71, station="CT-2 AMB"),
    Case(name="HADDAD^LEILA", minutes_ago=300, sex="F", patient_id="4472077", right=0.0, left=0.0, score=0.08),
    Case(name="KOVÁCS^ISTVÁN", minutes_ago=280, birth="19530415", sex="M", patient_id="4472081", right=0.27, left=0.12,
         score=0.88, station="CT-1"),
    Case(name="ANDERSSON^LARS", minutes_ago=240, birth="19490930", sex="M", patient_id="4472090", station="CT-2 AMB",
         failed=("TimeLimit", "stopped after 600 s, three times; the log has the study")),
    Case(name="PATEL^RAVI", minutes_ago=200, birth="19711108", sex="M", patient_id="4472103", right=0.05, left=0.032,
         score=0.44, station="CT-3"),
    Case(name="SCHMIDT^ANNELIESE", minutes_ago=170, birth="19380503", sex="F", patient_id="4472110", right=0.81,
         left=0.66, score=0.99, station="CT-1 NOTAUFNAHME"),
    Case(name="JOHNSON^EMILY", minutes_ago=120, birth="20010817", sex="F", patient_id="4472125", station="CT-3",
         not_analysed=("not_chest", "no lungs in the volume: this looks like an abdomen"),
         description="CT Abdomen portal venous"),
    Case(name="GARCÍA LÓPEZ^JOSÉ", minutes_ago=95, birth="19630101", sex="M", patient_id="4472131", right=0.0,
         left=0.018, score=0.22, station="CT-2 AMB"),
    Case(name="UNBEKANNT^NOTFALL 3", minutes_ago=40, patient_id="NA-20260003", priority=STAT, right=0.17, left=0.22,
         source="rule 1: called AE is TRIAGED_STAT", score=0.64, station="CT-1 NOTAUFNAHME", description="Polytrauma"),
    Case(name="O'BRIEN^SEÁN", minutes_ago=33, birth="19850330", sex="M", patient_id="4472140", priority=HIGH,
         source="rule 3: StudyDescription contains ICU", right=0.02, left=0.06, score=0.52, station="CT-1",
         description="CT chest ICU"),
    Case(name="YILMAZ^AYŞE", minutes_ago=20, birth="19820214", sex="F", patient_id="4472152", right=0.44, left=0.18,
         score=0.9, station="CT-3"),
    Case(name="MEIER^HANS", minutes_ago=70, birth="19440120", sex="M", patient_id="4472001", reference=True, right=0.01,
         left=0.0, station="CT-1", description="CT Thorax (prior)"),
    Case(name="NOVÁK^PETR", minutes_ago=4, birth="19741212", sex="M", patient_id="4472163", station="CT-2 AMB",
         state=StudyState.ANALYSING),
    Case(name="MEIER^HANS", minutes_ago=3, birth="19440120", sex="M", patient_id="4472001", station="CT-1",
         state=StudyState.READY),
    Case(name="LINDQVIST^ELSA", minutes_ago=1, birth="19690707", sex="F", patient_id="4472170", station="CT-3",
         state=StudyState.RECEIVING),
)  # fmt: skip


def analyse_again(store: Store, config: Config, study_uid: str, now: Now, outcome: Outcome | None = None) -> None:
    """A new revision of a study, with the outcome it had or another."""
    store.queue.requeue(study_uid, by="Dr. B", now=now)
    claim = store.queue.claim("again", now)
    while claim is not None and claim.study.study_uid != study_uid:
        claim = store.queue.claim("again", now)
    assert claim is not None
    commit_outcome(store, config, claim, outcome or store.studies.outcomes(study_uid)[-1][2], [], now)


def uid(number: int) -> str:
    return f"{ROOT}.{number}"


def of(family_name: str) -> str:
    """UID of the first case of that family name."""
    return uid(1 + next(n for n, case in enumerate(CASES) if case.name.startswith(family_name)))


def config(folder: Path, more: str = "", web: str = "") -> Config:
    return parse(
        f"""mode = "live"
        {more}
        [storage]
        path = "{folder}"
        [pacs]
        ae_title = "PACS"
        host = "127.0.0.1"
        port = 104
        [web]
        {web}
        """
    )


def status(**more: object) -> DaemonStatus:
    usual: dict[str, object] = {
        "listener_up": True,
        "workers_up": 1,
        "workers_wanted": 1,
        "outbox_up": True,
        "database_writable": True,
        "disk_free_mb": 412_000,
        "disk_filling": False,
        "synthetic_weights": True,
    }
    return DaemonStatus(**{**usual, **more})  # type: ignore[arg-type]


def fill(store: Store, settings: Config, at: Now, cases: tuple[Case, ...] = CASES) -> list[str]:
    """Put the cases into the store, the oldest first; returns their UIDs in that order."""
    with store.atomic():
        return [add(store, settings, at, case, number) for number, case in enumerate(cases, start=1)]


def add(store: Store, settings: Config, at: Now, case: Case, number: int) -> str:
    then = at.later(-60 * case.minutes_ago)
    _arrive(store, settings, case, number, then)
    if case.state is StudyState.RECEIVING:
        return uid(number)
    ready = then.later(20)
    for pending in store.studies.pending():
        if pending.study_uid == uid(number):
            store.studies.settle(pending, partial=False, now=ready)
    if case.state is StudyState.READY:
        return uid(number)
    claim = store.queue.claim("worker-1", ready.later(1))
    assert claim is not None
    assert claim.study.study_uid == uid(number)
    if case.state is StudyState.ANALYSING:
        return uid(number)
    done = min(ready.later(14), at, key=lambda t: t.utc)
    planned = _planned(number, done) if case.right is not None and not case.reference else []
    commit_outcome(store, settings, claim, _outcome(case, number), planned, done)
    for delivery in store.deliveries.of(uid(number))[:2]:
        store.deliveries.sending(delivery.delivery_id)
        store.deliveries.sent(delivery, now=min(done.later(125), at, key=lambda t: t.utc))
    if case.right is not None and case.left is not None:
        draw(settings, uid(number), case.right, case.left)
    return uid(number)


def _arrive(store: Store, settings: Config, case: Case, number: int, then: Now) -> None:
    local = then.utc.astimezone()
    header = StudyHeader(
        study_uid=uid(number),
        patient_id=case.patient_id,
        patient_name=case.name,
        patient_birth_date=case.birth,
        patient_sex=case.sex,
        patient_age=case.age,
        accession_number=f"A{202600 + number}",
        study_description=case.description,
        study_date=f"{local:%Y%m%d}",
        study_time=f"{local:%H%M%S}",
        station=case.station,
    )
    series = (
        ("Topogramm", "T20f", 0.6, 2),
        ("Thorax 1.0 B70f", "B70f", 1.0, 312),
        ("Thorax 5.0 B30f", "B30f", 5.0, 64),
    )
    arrival = Arrival(
        header=header,
        association=f"a{number}",
        calling_ae="CTSCANNER1",
        called_ae="TRIAGED",
        order_priority=case.priority,
        priority_source=case.source,
        place=policy.place(then.utc, case.priority, 0.0, settings.worklist),
        is_reference=case.reference,
        series=tuple(
            SeriesRow(
                series_uid=f"{uid(number)}.{n}",
                study_uid=uid(number),
                modality="CT",
                description=description,
                kernel=kernel,
                slice_thickness_mm=thickness_mm,
                instance_count=count,
            )
            for n, (description, kernel, thickness_mm, count) in enumerate(series, start=1)
        ),
        new_images=378,
    )
    store.studies.arrived(arrival, then)
    if case.state is not StudyState.RECEIVING:
        store.studies.association_closed(f"a{number}", then.later(9))


def grade(fraction: float) -> Grade:
    limits = ((0.01, Grade.CT0), (0.25, Grade.CT1), (0.5, Grade.CT2), (0.75, Grade.CT3))
    return next((g for limit, g in limits if fraction <= limit), Grade.CT4)


def _outcome(case: Case, number: int) -> Outcome:
    if case.not_analysed:
        code, reason = case.not_analysed
        return Outcome(state=StudyState.NOT_ANALYSED, reason_code=code, reason=reason)
    if case.failed:
        code, reason = case.failed
        return Outcome(state=StudyState.FAILED, reason_code=code, reason=reason)
    assert case.right is not None
    assert case.left is not None
    worse = max(case.right, case.left)
    models = (
        ModelIdentity(role="lungs", name="classical-lungs", version="1"),
        ModelIdentity(role="triage", name="ct-triage", version="0.1", synthetic=True),
    )
    seconds = {"read": 1.9, "lungs": 4.2, "sides": 0.4, "lesions": 2.8, "findings": 0.1}
    return Outcome(
        state=StudyState.ANALYSED,
        choice=Choice(
            series_uid=f"{uid(number)}.2",
            reason="thinnest axial of 2, 1.0 mm, lung kernel B70f, 312 slices, covers both lungs",
            slices=312,
            input_digest="ab" * 32,
        ),
        findings=Findings(
            covid_probability=case.score,
            affected_fraction_right=case.right,
            affected_fraction_left=case.left,
            affected_fraction=worse,
            lung_volume_ml_right=2510.0,
            lung_volume_ml_left=2120.0,
            lesion_volume_ml_right=2510.0 * case.right,
            lesion_volume_ml_left=2120.0 * case.left,
            ct_grade=grade(worse),
            flags=(Flag.UNCALIBRATED, Flag.RESEARCH_WEIGHTS, Flag.CONTRAST),
            provenance=Provenance(
                models=models, triaged_version="0.1.0", device="cpu", config_digest="00", seconds=seconds
            ),
        ),
    )


def _planned(number: int, done: Now) -> list[PlannedDelivery]:
    return [
        PlannedDelivery(
            role=role,
            sop_uid=f"{uid(number)}.9.{n}",
            series_uid=f"{uid(number)}.9",
            not_before=done.utc + timedelta(seconds=120),
        )
        for n, role in enumerate(Role, start=1)
    ]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _coronal(width: int, height: int, right: float, left: float) -> Image.Image:
    image = Image.new("RGB", (width, height), (6, 6, 7))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((width * 0.04, 0, width * 0.96, height), width * 0.2, fill=(96, 96, 99))
    for x0, fraction in ((0.14, right), (0.54, left)):
        box = (width * x0, height * 0.1, width * (x0 + 0.32), height * 0.9)
        pen.ellipse(box, fill=(38, 38, 41))
        reach = (box[3] - box[1]) * fraction
        if fraction > 0:
            shade = (round(80 + 170 * fraction), round(190 - 150 * fraction), 60)
            pen.ellipse((box[0] + 4, box[3] - reach - 4, box[2] - 4, box[3] - 4), fill=shade)
    return image


@cache
def pictures(right: float, left: float) -> dict[str, bytes]:
    """Pictures as an analysis leaves them, simpler: file name -> PNG."""
    drawn = {
        artefacts.PICTURE: _png(_coronal(512, 560, right, left)),
        artefacts.THUMBNAIL: _png(_coronal(74, 64, right, left)),
    }
    return drawn | {f"key-{n}.png": _png(_coronal(256, 256, right, left).rotate(90 * n)) for n in (1, 2, 3)}


def draw(settings: Config, study_uid: str, right: float, left: float) -> None:
    folder = artefacts.folder(settings.artefacts, study_uid, 1)
    folder.mkdir(parents=True)
    for name, png in pictures(right, left).items():
        (folder / name).write_bytes(png)
    keys = [
        {"file": f"key-{n}.png", "sop_uid": "1.2", "slice_index": 100 + n, "affected_fraction": max(right, left)}
        for n in (1, 2, 3)
    ]
    (folder / artefacts.KEY_SLICES).write_text(json.dumps(keys))


__all__ = ["CASES", "Case", "add", "config", "draw", "fill", "of", "replace", "status", "uid"]
