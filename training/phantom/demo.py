"""The demonstration's morning: fourteen studies, as they come in, with what should become of each."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from training.phantom.case import Phantom, Region
from training.phantom.dicom import StudyInfo, Syntax, uid_for
from training.phantom.pathology import Pathology
from training.phantom.scanner import SHARP, SOFT, Kernel, Scan
from training.phantom.study import Options, write_study

STAT_DESCRIPTION = "CT CHEST STAT"  # what the demonstration's priority rule looks for
BETWEEN = timedelta(minutes=9)  # one study after the other on the scanner's clock
WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class DemoStudy:
    """One study of the demonstration. Fractions are of each lung's volume; None where no lung was drawn.

    `state` and `reason` are how it should end, in the words of the worklist; `paths` are its files, in sending order.
    """

    study_uid: str
    kind: str
    patient_name: str
    patient_id: str
    accession_number: str
    study_description: str
    priority: str  # "STAT", or "" where no rule speaks
    state: str
    reason: str
    right_fraction: float | None
    left_fraction: float | None
    paths: tuple[Path, ...]

    @property
    def affected_fraction(self) -> float | None:
        if self.right_fraction is None or self.left_fraction is None:
            return None
        return max(self.right_fraction, self.left_fraction)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one study of the demonstration shall show."""

    kind: str
    name: str
    sex: str
    right: float = 0.0
    left: float = 0.0
    consolidation_share: float = 0.12
    region: Region = Region.CHEST
    description: str = "CT CHEST"
    syntax: Syntax = Syntax.EXPLICIT
    character_set: str = "ISO_IR 192"
    two_kernels: bool = False
    state: str = "analysed"
    reason: str = ""


# In order of arrival, which is by intention neither the order of severity nor its reverse.
PLANS = (
    Plan(kind="normal", name="Demo^Anna", sex="F"),
    Plan(kind="15 %", name="Demo^Bruno", sex="M", right=0.15, left=0.06, syntax=Syntax.JPEG_LS),
    Plan(kind="3 %", name="Demo^Clara", sex="F", right=0.02, left=0.03),
    Plan(kind="42 %", name="Demo^David", sex="M", right=0.42, left=0.30),
    Plan(kind="normal, two kernels and a localizer", name="Demo^Emma", sex="F", two_kernels=True),
    Plan(
        kind="not a chest",
        name="Demo^Felix",
        sex="M",
        region=Region.HEAD,
        description="CT HEAD",
        state="not_analysed",
        reason="not_chest",
    ),
    Plan(kind="8 %", name="Demo^Greta", sex="F", right=0.08, left=0.02),
    Plan(kind="78 %", name="Demo^Hugo", sex="M", right=0.70, left=0.78),
    Plan(kind="normal, STAT by rule", name="Demo^Iris", sex="F", description=STAT_DESCRIPTION),
    Plan(
        kind="undecodable",
        name="Demo^Jörg",
        sex="M",
        right=0.2,
        left=0.2,
        character_set="ISO_IR 100",
        syntax=Syntax.GARBAGE,
        state="not_analysed",
        reason="syntax",
    ),
    Plan(kind="28 %", name="Demo^Karla", sex="F", right=0.12, left=0.28, syntax=Syntax.RLE),
    Plan(kind="normal", name="Demo^Luis", sex="M"),
    Plan(kind="60 %", name="Demo^Maja", sex="F", right=0.60, left=0.41),
    Plan(
        kind="one lung opaque",
        name="Demo^Nils",
        sex="M",
        right=0.10,
        left=0.95,
        consolidation_share=0.97,
        state="not_analysed",
        reason="lung_opaque",
    ),
)

CHEST = Scan(slices=48, rows=184, columns=224, slice_mm=5.0, pixel_mm=(1.7, 1.7), centre_lps_mm=(0.0, 14.0, -7.0))
HEAD = Scan(slices=36, rows=192, columns=192, slice_mm=5.0, pixel_mm=(1.25, 1.25), centre_lps_mm=(0.0, 10.0, 0.0))


def demonstration_studies(
    folder: Path, seed: int = 1, *, now: datetime | None = None, workers: int = WORKERS
) -> list[DemoStudy]:
    """Write the demonstration's studies below `folder`, one folder each, and list them in order of arrival.

    The last was acquired at `now` (a local time). Equal seeds give equal UIDs and pixels.
    """
    last = now or datetime.now()
    jobs = [
        (plan, index, folder / f"{index + 1:02d}", seed, last - BETWEEN * (len(PLANS) - 1 - index))
        for index, plan in enumerate(PLANS)
    ]
    if workers <= 1:
        return [_write(*job) for job in jobs]
    # Spawned, not forked: the caller may have threads and an open database.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(_write, *zip(*jobs, strict=True)))


def _write(plan: Plan, index: int, folder: Path, seed: int, acquired_at: datetime) -> DemoStudy:
    info = StudyInfo(
        study_uid=uid_for("demo", seed, index),
        patient_name=plan.name,
        patient_id=f"DEMO-{index + 1:04d}",
        patient_birth_date=f"{1938 + (7 * index) % 53}{1 + index % 12:02d}{3 + index:02d}",
        patient_sex=plan.sex,
        accession_number=f"DA{seed:03d}{index + 1:04d}",
        study_id=str(index + 1),
        study_description=plan.description,
        body_part="HEAD" if plan.region is Region.HEAD else "CHEST",
        character_set=plan.character_set,
        acquired_at=acquired_at,
    )
    phantom = Phantom(
        seed=1000 * seed + index,
        region=plan.region,
        pathology=Pathology(right=plan.right, left=plan.left, consolidation_share=plan.consolidation_share),
    )
    written = write_study(phantom, folder, info=info, options=_options(plan))
    chest = plan.region is Region.CHEST
    return DemoStudy(
        study_uid=info.study_uid,
        kind=plan.kind,
        patient_name=plan.name,
        patient_id=info.patient_id,
        accession_number=info.accession_number,
        study_description=plan.description,
        priority="STAT" if plan.description == STAT_DESCRIPTION else "",
        state=plan.state,
        reason=plan.reason,
        right_fraction=written.truth.right_fraction if chest else None,
        left_fraction=written.truth.left_fraction if chest else None,
        paths=written.paths,
    )


def _options(plan: Plan) -> Options:
    if plan.region is not Region.CHEST:
        return Options(scans=(HEAD,), syntax=plan.syntax)
    if not plan.two_kernels:
        return Options(scans=(CHEST,), syntax=plan.syntax)
    soft, sharp = replace(CHEST, kernel=SOFT), _thinner(CHEST, SHARP)
    return Options(scans=(soft, sharp), localizer=True, syntax=plan.syntax)


def _thinner(scan: Scan, kernel: Kernel) -> Scan:
    """The same range in more and thinner slices."""
    return replace(scan, slices=2 * scan.slices, slice_mm=scan.slice_mm / 2, thickness_mm=2.0, kernel=kernel)
