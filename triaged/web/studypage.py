"""The study page's content: everything a reader or an admin may ask of one study, in words. Reads, decides nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from triaged import artefacts
from triaged.clock import Now
from triaged.config import Config
from triaged.records import Delivery, DeliveryState, Event, Findings, Flag, Reading, Role, Study, StudyState
from triaged.store import Store
from triaged.web import view, words
from triaged.wording import duration, percent
from triaged.worklist.board import Board

FLAGS = {
    Flag.PARTIAL: "Images are missing: the time limit passed before the study was complete.",
    Flag.LOSSY: "The images were compressed with loss at the source.",
    Flag.UNCALIBRATED: "The score has not been calibrated at this site: it is a score, not a probability.",
    Flag.RESEARCH_WEIGHTS: "A model in use was trained on synthetic data.",
    Flag.LUNGS_DISAGREE: "Two lung methods disagree on this study.",
    Flag.LUNG_MAY_BE_MISSING: (
        "Lung may be missing from the measurement: what was found is unlike whole lungs (one side small, a base high, "
        "or no ribs to measure against). Consolidated lung can be lost so; the percentages may be too low."
    ),
    Flag.UNFAMILIAR: "The images are unlike those the models were trained on: what the models say is less certain.",
    Flag.SIDES_BY_SIZE: "Right and left were told apart by size, not by patient orientation.",
    Flag.THICK_SLICES: "The slices are thick: small lesions may be missed or overestimated.",
    Flag.LUNG_CUT_OFF: "The lung reaches the first or last slice: part of it was not imaged.",
    Flag.CONTRAST: "Contrast agent was given.",
}
ROLES = {Role.SEG: "Segmentation (SEG)", Role.SR: "Structured report (SR)", Role.PICTURE: "Picture (SC)"}
DELIVERIES = {
    DeliveryState.WAITING: "waiting",
    DeliveryState.SENDING: "being sent",
    DeliveryState.SENT: "accepted by the PACS",
    DeliveryState.CONFIRMED: "confirmed in the PACS",
    DeliveryState.PARKED: "not delivered: a person must look",
    DeliveryState.SUPERSEDED: "not sent: superseded or given up",
}
EVENTS = {
    "received": "first image received",
    "series": "series received",
    "conflicting_version": "image came again with other content",
    "ready": "complete",
    "late_images_settled": "late images complete",
    "claimed": "analysis begun",
    "released": "analysis given up",
    "reopened": "analysis begun again",
    "analysed_again_in_vain": "not analysed again: the earlier result stands",
    "selection_unchanged": "late images do not change the result",
    "analysed": "report committed",
    "not_analysed": "not analysed",
    "failed": "analysis failed",
    "requeued": "to be analysed again",
    "encoded": "results made",
    "sent_results_void": "results in the PACS hold no longer",
    "delivered": "accepted by the PACS",
    "delivery_confirmed": "confirmed in the PACS",
    "delivery_retry": "delivery to be tried again",
    "delivery_parked": "delivery given up",
    "delivery_unparked": "delivery to be tried again",
    "delivery_dismissed": "result given up",
    "delivery_dropped": "result not to be sent any more",
    "reading_claimed": "claimed",
    "reading_released": "claim given back",
    "reading_expired": "claim over",
    "read": "marked as read",
    "unread": "back on the list",
    "pinned": "pinned",
    "unpinned": "no longer pinned",
    "priority": "order priority changed",
    "urgency": "urgency corrected",
    "tier": "tier follows the settings",
    "withdrawn": "withdrawn",
    "images_removed": "images removed",
}
# The events that divide the time to notification (first slice to committed report) into its stages.
MILESTONES = {
    "received": "First image received",
    "ready": "Complete",
    "late_images_settled": "Late images complete",
    "claimed": "Analysis begun",
    "analysed": "Report committed",
    "not_analysed": "Outcome committed: not analysed",
    "failed": "Outcome committed: failed",
    "encoded": "Results made",
    "delivered": "Result accepted by the PACS",
}


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    uid: str
    version: str  # differs once the page is out of date
    patient: str
    about: str
    study: str
    about_study: str
    facts: tuple[tuple[str, str], ...]
    state: str
    finding: view.Finding
    why: str
    position: int | None
    passing: str
    is_listed: bool
    is_read: bool
    is_held: bool
    is_mine: bool
    holder: str
    is_pinned: bool
    is_changed: bool
    is_withdrawn: bool
    priority: str
    priority_code: str
    priority_source: str
    viewer: str
    picture: str
    key_slices: tuple[tuple[str, str], ...]
    table: tuple[tuple[str, str, str, str], ...]
    choice: str
    series: tuple[tuple[str, str, str, bool], ...]
    flags: tuple[str, ...]
    models: tuple[str, ...]
    milestones: tuple[tuple[str, str, str], ...]
    stages: tuple[tuple[str, float, float], ...]
    total: str
    deliveries: tuple[tuple[str, str, str, str], ...]
    has_parked: bool
    events: tuple[tuple[str, str, str], ...]
    revisions: tuple[tuple[int, str, str], ...]


def study_page(store: Store, config: Config, board: Board, study_uid: str, now: Now, reader: str) -> StudyPage:
    """Raises UnknownStudy."""
    study = store.studies.get(study_uid)
    item = next((item for item in board.items if item.study.study_uid == study_uid), None)
    events, deliveries = store.events.of(study_uid), store.deliveries.of(study_uid)
    is_held = item is not None and item.reading is Reading.READING
    milestones, total = _milestones(events)
    return StudyPage(
        uid=study_uid,
        version=version(study),
        patient=words.person_name(study.header.patient_name),
        about=view.about_patient(study),
        study=study.header.study_description or "no description",
        about_study=view.about_study(study, now),
        facts=_facts(study, now),
        state=words.STATES[study.state],
        finding=view.finding(study),
        why=item.why if item else (study.reason or ""),
        position=item.position if item else None,
        passing=item.passing if item else "",
        is_listed=item is not None,
        is_read=study.reading is Reading.READ,
        is_held=is_held,
        is_mine=is_held and study.reader == reader,
        holder=study.reader if is_held or study.reading is Reading.READ else "",
        is_pinned=study.pinned_at is not None,
        is_changed=study.changed_since_read,
        is_withdrawn=study.state is StudyState.WITHDRAWN,
        priority=words.PRIORITIES[study.order_priority],
        priority_code=study.order_priority.value,
        priority_source=study.priority_source,
        viewer=view.viewer_link(config.web.viewer_url, study),
        picture=view.picture_path(study, artefacts.PICTURE),
        key_slices=_key_slices(config, study),
        table=_table(study.findings),
        choice=study.choice.reason if study.choice else "",
        series=_series(store, study),
        flags=_to_know(study.findings),
        models=_models(study.findings),
        milestones=milestones,
        stages=_stages(study.findings, events),
        total=total,
        deliveries=tuple(_delivery(d, now) for d in deliveries),
        has_parked=any(d.state is DeliveryState.PARKED for d in deliveries),
        events=tuple(_event(event, now) for event in events),
        revisions=tuple(
            (number, words.moment(at, now.utc), ": ".join(filter(None, (words.STATES[outcome.state], outcome.reason))))
            for number, at, outcome in store.studies.outcomes(study_uid)
        ),
    )


def version(study: Study) -> str:
    """Changes when the page would say something else that matters."""
    return f"{study.state}-{study.revision}-{study.reading}-{study.reader}-{study.order_priority}-{study.pinned_at}"


def _facts(study: Study, now: Now) -> tuple[tuple[str, str], ...]:
    header = study.header
    return (
        ("Accession number", header.accession_number or "none"),
        ("Received", words.moment(study.received_at, now.utc)),
        ("Sent by", study.calling_ae or "unknown"),
        ("Images", str(study.instance_count)),
        ("Study UID", study.study_uid),
    )


def _key_slices(config: Config, study: Study) -> tuple[tuple[str, str], ...]:
    """(address, words) of the most affected axial slices of the present revision."""
    if not view.picture_path(study, artefacts.PICTURE):
        return ()
    try:
        keys = artefacts.read_key_slices(artefacts.folder(config.artefacts, study.study_uid, study.revision))
    except (OSError, ValueError, TypeError, json.JSONDecodeError):
        return ()  # removed by retention: the findings stand without their pictures
    return tuple(
        (
            view.picture_path(study, key.file),
            f"Slice {key.slice_index + 1}, {percent(key.affected_fraction)} of its lung",
        )
        for key in keys
    )


def _table(findings: Findings | None) -> tuple[tuple[str, str, str, str], ...]:
    """(what, right, left, both): both is the worse lung for fractions, the sum for volumes."""
    if findings is None:
        return ()
    f = findings
    lungs = (
        None
        if f.lung_volume_ml_right is None or f.lung_volume_ml_left is None
        else f.lung_volume_ml_right + f.lung_volume_ml_left
    )
    return (
        (
            "Affected lung (last column: the worse)",
            percent(f.affected_fraction_right),
            percent(f.affected_fraction_left),
            percent(f.affected_fraction),
        ),
        (
            "Affected volume",
            _ml(f.lesion_volume_ml_right),
            _ml(f.lesion_volume_ml_left),
            _ml(f.lesion_volume_ml),
        ),
        ("Lung volume", _ml(f.lung_volume_ml_right), _ml(f.lung_volume_ml_left), _ml(lungs)),
    )


def _to_know(findings: Findings | None) -> tuple[str, ...]:
    """The flags in words, then what belongs to this study alone."""
    if findings is None:
        return ()
    return (*(FLAGS[flag] for flag in findings.flags), *(f"{r[:1].upper()}{r[1:]}." for r in findings.remarks))


def _ml(volume_ml: float | None) -> str:
    return "–" if volume_ml is None else f"{volume_ml:,.0f} mL".replace(",", "\u202f")


def _series(store: Store, study: Study) -> tuple[tuple[str, str, str, bool], ...]:
    """(description, what it is, images, whether it was analysed)."""
    chosen = study.choice.series_uid if study.choice else ""
    return tuple(
        (
            s.description or "no description",
            " · ".join(
                part
                for part in (
                    s.modality,
                    f"{s.slice_thickness_mm:g} mm" if s.slice_thickness_mm is not None else "",
                    s.kernel,
                )
                if part
            ),
            words.plural(s.instance_count, "image"),
            s.series_uid == chosen,
        )
        for s in store.studies.series(study.study_uid)
    )


def _models(findings: Findings | None) -> tuple[str, ...]:
    if findings is None:
        return ()
    provenance = findings.provenance
    models = tuple(
        f"{m.role}: {m.name} {m.version}" + (", trained on synthetic data" if m.synthetic else "")
        for m in provenance.models
    )
    return (*models, f"triaged {provenance.triaged_version} on {provenance.device}")


def _milestones(events: list[Event]) -> tuple[tuple[tuple[str, str, str], ...], str]:
    """((time, what, seconds since the one before), ...) up to the first delivery, and the whole in words."""
    said: list[tuple[str, str, str]] = []
    before: datetime | None = None
    first = committed = None
    for event in events:
        if event.kind not in MILESTONES or (event.kind == "received" and first is not None):
            continue
        first = first or event.at
        if event.kind in {"analysed", "not_analysed", "failed"} and committed is None:
            committed = event.at
        step = "" if before is None else f"+ {_seconds((event.at - before).total_seconds())}"
        role = f" ({event.detail['role']})" if "role" in event.detail else ""
        said.append((f"{event.at.astimezone():%H:%M:%S}", MILESTONES[event.kind] + role, step))
        before = event.at
    total = "" if first is None or committed is None else _seconds((committed - first).total_seconds())
    return tuple(said), total


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _stages(findings: Findings | None, events: list[Event]) -> tuple[tuple[str, float, float], ...]:
    """(stage, seconds, share of the longest in percent), those of the analysis and then the making of its results."""
    seconds = dict(findings.provenance.seconds) if findings else {}
    made = [e.detail["seconds"] for e in events if e.kind == "encoded"]
    if findings and made and isinstance(made[-1], float):
        seconds["encode"] = made[-1]
    longest = max(seconds.values(), default=0.0) or 1.0
    return tuple((name.replace("_", " "), value, 100 * value / longest) for name, value in seconds.items())


def _delivery(delivery: Delivery, now: Now) -> tuple[str, str, str, str]:
    """(what, state, when, remark)."""
    when = delivery.sent_at or delivery.created_at
    tried = words.plural(delivery.attempts, "attempt") if delivery.attempts else ""
    remark = " · ".join(part for part in (f"revision {delivery.revision}", tried, delivery.last_error or "") if part)
    return ROLES[delivery.role], DELIVERIES[delivery.state], words.moment(when, now.utc), remark


def _event(event: Event, now: Now) -> tuple[str, str, str]:
    detail = ", ".join(f"{key}: {_plain(value)}" for key, value in event.detail.items() if value not in (None, "", {}))
    local = event.at.astimezone()
    day = "" if local.date() == now.utc.astimezone().date() else f"{local.day} {local:%b} "
    return f"{day}{local:%H:%M:%S}", EVENTS.get(event.kind, event.kind.replace("_", " ")), detail


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    return f"{value:.2f}" if isinstance(value, float) else str(value)
