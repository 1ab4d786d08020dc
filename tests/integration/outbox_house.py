"""Studies as an analysis leaves them, ready for the outbox: real rows, real files, masks drawn by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from models.volume import Volume
from training.phantom.dicom import SeriesInfo, StudyInfo, uid_for, write_series
from triaged import artefacts
from triaged.artefacts import Artefacts
from triaged.clock import Now
from triaged.config import Config, parse
from triaged.intake.spool import Spool
from triaged.masks import Masks
from triaged.records import (
    Arrival,
    Choice,
    Delivery,
    DeliveryState,
    Findings,
    Grade,
    ModelIdentity,
    OrderPriority,
    Outcome,
    Place,
    PlannedDelivery,
    Provenance,
    Role,
    SeriesRow,
    StudyHeader,
    StudyState,
    Tier,
)
from triaged.results.outbox import Outbox
from triaged.results.uids import result_uids
from triaged.store import Store

SHAPE = (10, 20, 31)
START = Now(utc=datetime(2026, 11, 20, 9, 0, tzinfo=UTC), mono_s=1_000_000.0)
TARGET_MINUTES = 24 * 60.0


def settings(storage: Path, pacs_port: int, *, mode: str = "live", results: str = "", extra: str = "") -> Config:
    return parse(
        f"""
        mode = "{mode}"
        [storage]
        path = "{storage}"
        {extra}
        [pacs]
        ae_title = "ORTHANC"
        host = "127.0.0.1"
        port = {pacs_port}
        timeout_s = 5.0
        [results]
        publish_quiet_s = 0.0
        {results}
        """
    )


@dataclass
class House:
    """One storage folder with a store, a spool and an outbox."""

    config: Config
    store: Store
    spool: Spool
    now: Now = START

    @classmethod
    def at(cls, config: Config) -> House:
        spool = Spool(config.spool, min_free_mb=0)
        return cls(config=config, store=Store(config.database), spool=spool)

    def outbox(self) -> Outbox:
        return Outbox(self.config, self.store, self.spool, clock=lambda: self.now)

    def later(self, seconds: float) -> Now:
        self.now = self.now.later(seconds)
        return self.now

    # -- a study's life before the outbox ---------------------------------------------------------------------------

    def receive(self, name: str, *, minutes: float = TARGET_MINUTES, images: int = SHAPE[0]) -> str:
        """A CT study of `images` oblique slices, in the spool and in the rows, due `minutes` from now."""
        study_uid = uid_for("outbox", name)
        series_uid = uid_for("outbox", name, "series")
        _write_images(self.spool.root / study_uid / series_uid, study_uid, series_uid, images)
        due = self.now.utc + timedelta(minutes=minutes)
        self.store.studies.arrived(
            Arrival(
                header=StudyHeader(study_uid=study_uid),
                association=f"association of {name}",
                calling_ae="CT1",
                called_ae="TRIAGED",
                order_priority=OrderPriority.ROUTINE,
                priority_source="",
                place=Place(tier=Tier.REST, due=due, baseline_tier=Tier.REST, baseline_due=due),
                is_reference=False,
                series=(_series_row(study_uid, series_uid, images),),
                new_images=images,
            ),
            self.now,
        )
        self.store.studies.association_closed(f"association of {name}", self.now)
        return study_uid

    def analyse(
        self, study_uid: str, *, fraction: float = 0.3, publish_quiet_s: float = 0.0, version: str = "1"
    ) -> int:
        """Settle, claim, leave masks and commit; returns the revision. Another `version` gives another result."""
        for pending in self.store.studies.pending():
            if pending.study_uid == study_uid:
                self.store.studies.settle(pending, partial=False, now=self.now)
        claim = self.store.queue.claim("worker-0", self.now)
        assert claim is not None
        assert claim.study.study_uid == study_uid
        (series_uid,) = self.spool.series(study_uid)
        sops = sorted(self.spool.paths(study_uid, series_uid))
        masks = _masks([p.stem for p in sops], fraction)
        artefacts.write(self.config.artefacts, study_uid, claim.study.revision + 1, _pictures(masks))
        digest = sha256(f"{version}{len(sops)}".encode()).hexdigest()
        choice = Choice(series_uid=series_uid, reason="the only series", slices=len(sops), input_digest=digest)
        findings = _findings(masks, version)
        uids = result_uids(self.store.installation_uid, study_uid, choice, findings.provenance)
        not_before = self.now.utc + timedelta(seconds=publish_quiet_s)
        return self.store.queue.finish(
            claim,
            Outcome(state=StudyState.ANALYSED, choice=choice, findings=findings),
            urgency=fraction,
            place=claim.study.place,
            deliveries=[
                PlannedDelivery(
                    role=role, sop_uid=uids[role].sop_uid, series_uid=uids[role].series_uid, not_before=not_before
                )
                for role in Role
            ],
            now=self.now,
        )

    def analysed(self, name: str, *, minutes: float = TARGET_MINUTES, **how: float) -> str:
        study_uid = self.receive(name, minutes=minutes)
        self.analyse(study_uid, **how)  # type: ignore[arg-type]
        return study_uid

    def requeue(self, study_uid: str) -> None:
        self.store.queue.requeue(study_uid, by="dr.a", now=self.now)

    # -- what became of it ------------------------------------------------------------------------------------------

    def deliveries(self, study_uid: str, revision: int = 1) -> dict[Role, Delivery]:
        return {d.role: d for d in self.store.deliveries.of(study_uid) if d.revision == revision}

    def states(self, study_uid: str, revision: int = 1) -> dict[Role, DeliveryState]:
        return {role: d.state for role, d in self.deliveries(study_uid, revision).items()}

    def deliver_all(self) -> int:
        """Step until nothing more is due now."""
        outbox, ended = self.outbox(), 0
        while done := outbox.step(self.now):
            ended += done
        return ended

    def kinds(self, study_uid: str | None = None) -> list[str]:
        return [e.kind for e in self.store.events.all() if study_uid is None or e.study_uid == study_uid]


def _series_row(study_uid: str, series_uid: str, images: int) -> SeriesRow:
    return SeriesRow(
        series_uid=series_uid,
        study_uid=study_uid,
        modality="CT",
        description="Thorax",
        kernel="B31f",
        slice_thickness_mm=4.0,
        instance_count=images,
    )


def _write_images(folder: Path, study_uid: str, series_uid: str, images: int) -> None:
    """Slices tilted about two axes, named as the spool names them."""
    affine = np.eye(4)
    affine[:3, 0] = 4.0 * np.array([0.1, -0.2, 0.974679])  # along the slices
    across = np.cross([0.0, 1.0, 0.0], affine[:3, 0])
    affine[:3, 2] = 2.5 * across / np.linalg.norm(across)  # along a row: growing column
    down = np.cross(affine[:3, 0], affine[:3, 2])
    affine[:3, 1] = 3.0 * down / np.linalg.norm(down)
    affine[:3, 3] = (-40.0, -30.0, -200.0)
    seed = int.from_bytes(sha256(study_uid.encode()).digest()[:4], "big")
    hu = np.random.default_rng(seed).integers(-1000, 300, (images, *SHAPE[1:])).astype(np.int16)
    study = StudyInfo(study_uid=study_uid, patient_name="Test^Oblique", patient_id="T-1", acquired_at=START.utc)
    series = SeriesInfo(series_uid=series_uid, frame_of_reference_uid=uid_for(series_uid, "frame"))
    written = write_series(Volume(hu=hu, affine_lps=affine), folder, study, series)
    for path, sop_uid in zip(written.paths, written.sop_uids, strict=True):
        path.rename(folder / f"{sop_uid}.dcm")


def _masks(sop_uids: list[str], fraction: float) -> Masks:
    """Two boxes of unequal size; the lower part of the right one is affected. `fraction` 0 leaves both clear."""
    lungs = np.zeros((len(sop_uids), *SHAPE[1:]), np.uint8)
    lungs[1:-1, 3:15, 2:13], lungs[2:-1, 5:17, 17:27] = 1, 2
    lesions = np.zeros(lungs.shape, np.bool_)
    lesions[1 : 1 + round(fraction * (len(sop_uids) - 2)), 3:15, 2:13] = True
    return Masks(lungs=lungs, lesions=lesions, sources=tuple((uid, 1) for uid in sop_uids))


def _findings(masks: Masks, version: str) -> Findings:
    assert masks.lesions is not None
    right, left = float((masks.lungs == 1).sum()), float((masks.lungs == 2).sum())
    affected = float(masks.lesions.sum())
    return Findings(
        affected_fraction_right=affected / right,
        affected_fraction_left=0.0,
        affected_fraction=affected / right,
        lung_volume_ml_right=right * 0.03,
        lung_volume_ml_left=left * 0.03,
        lesion_volume_ml_right=affected * 0.03,
        lesion_volume_ml_left=0.0,
        ct_grade=Grade.CT2 if affected else Grade.CT0,
        provenance=Provenance(
            models=(ModelIdentity(role="lungs", name="boxes", version=version),),
            triaged_version="0.1.0",
            device="cpu",
            config_digest="c0ffee",
        ),
    )


def _pictures(masks: Masks) -> Artefacts:
    out = BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 31, 3), np.uint8), "RGB").save(out, "PNG")
    png = out.getvalue()
    return Artefacts(masks=masks, coronal_png=png, picture_png=png, thumbnail_png=png, key_slices=[])
