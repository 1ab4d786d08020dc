"""The demonstration's morning: sixteen studies, as they come in, with what should become of each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from training.phantom.batch import LUNG_KERNEL, whole_chest
from training.phantom.case import Phantom, Region
from training.phantom.dicom import StudyInfo, Syntax, uid_for
from training.phantom.pathology import Pathology
from training.phantom.population import Drawn, Kind, draw
from training.phantom.scanner import Scan
from training.phantom.study import Options, write_study

STAT_DESCRIPTION = "CT CHEST STAT"  # what the demonstration's priority rule looks for
BETWEEN = timedelta(minutes=9)  # one study after the other on the scanner's clock
WORKERS = 2
SEED = 1  # of UIDs and accession numbers
ANALYSED = "analysed"
# Enough for a picture one can look at; a whole morning of 512 x 512 would take minutes to draw and to analyse.
PIXELS = 224
# A white lung: of the right one, of the left one, and how much of that is consolidated.
WHITE_RIGHT, WHITE_LEFT, WHITE_CONSOLIDATED = 0.10, 0.95, 0.97


@dataclass(frozen=True, kw_only=True)
class DemoStudy:
    """One study of the demonstration. Fractions are of each lung's volume that pneumonia takes; None where no lung was
    drawn.

    `ends` are the ways it may end: "analysed", or reasons for not analysing it, in the worklist's codes. `label` is
    what was drawn, in the words of a classifier, "" where that is no chest. `paths` are its files, in sending order.
    """

    study_uid: str
    kind: str
    label: str
    patient_name: str
    patient_id: str
    accession_number: str
    study_description: str
    priority: str  # "STAT", or "" where no rule speaks
    ends: tuple[str, ...]
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
    """What one study of the demonstration shall show.

    `patient` numbers a member of the population (`population.draw`), who keeps body, tissue and scan whatever he has;
    `share` is what pneumonia takes of both lungs together, None: what the population gives him.
    """

    kind: str
    name: str
    sex: str
    patient: int
    drawn: Kind | None = Kind.NORMAL  # None: no chest
    share: float | None = None
    is_white: bool = False
    description: str = "CT CHEST"
    syntax: Syntax = Syntax.EXPLICIT
    character_set: str = "ISO_IR 192"
    two_kernels: bool = False
    slice_mm: float = 5.0
    ends: tuple[str, ...] = (ANALYSED,)


# In order of arrival, which is by intention neither the order of severity nor its reverse. Percentages are of the worse
# lung. The patients are chosen by hand: no two alike, and none whom the quality gates refuse for the smallness of his
# lungs or the size of his consolidation, but for the one who shows that they do.
PLANS = (
    Plan(kind="normal", name="Demo^Anna", sex="F", patient=6),
    Plan(
        kind="COVID-19, 15 %",
        name="Demo^Bruno",
        sex="M",
        patient=14,
        drawn=Kind.COVID,
        share=0.10,
        syntax=Syntax.JPEG_LS,
    ),
    Plan(kind="pleural effusion", name="Demo^Carl", sex="M", patient=31, drawn=Kind.EFFUSION),
    Plan(kind="COVID-19, 42 %", name="Demo^David", sex="M", patient=17, drawn=Kind.COVID, share=0.37),
    Plan(kind="normal, two kernels and a localizer", name="Demo^Emma", sex="F", patient=4, two_kernels=True),
    Plan(
        kind="not a chest",
        name="Demo^Felix",
        sex="M",
        patient=0,
        drawn=None,
        description="CT HEAD",
        ends=("not_chest",),
    ),
    Plan(kind="CAP, both lower lobes", name="Demo^Greta", sex="F", patient=22, drawn=Kind.CAP),
    Plan(kind="COVID-19, first signs", name="Demo^Henri", sex="M", patient=5, drawn=Kind.COVID, share=0.004),
    Plan(kind="COVID-19, 78 %", name="Demo^Hugo", sex="M", patient=18, drawn=Kind.COVID, share=0.68),
    Plan(kind="normal, STAT by rule", name="Demo^Iris", sex="F", patient=3, description=STAT_DESCRIPTION),
    Plan(
        kind="undecodable",
        name="Demo^Käthe",
        sex="F",
        patient=2,
        drawn=Kind.COVID,
        character_set="ISO_IR 100",
        syntax=Syntax.GARBAGE,
        slice_mm=10.0,
        ends=("syntax",),
    ),
    Plan(kind="mass", name="Demo^Karla", sex="F", patient=34, drawn=Kind.MASS, syntax=Syntax.RLE),
    Plan(kind="COVID-19, 8 %", name="Demo^Luis", sex="M", patient=12, drawn=Kind.COVID, share=0.048),
    Plan(kind="fibrosis", name="Demo^Max", sex="M", patient=36, drawn=Kind.FIBROSIS),
    Plan(kind="CAP, central", name="Demo^Moritz", sex="M", patient=25, drawn=Kind.CAP),
    # Lungs found by threshold lack the white one, and the study is not analysed; learned ones may hold it.
    Plan(
        kind="one lung opaque",
        name="Demo^Nils",
        sex="M",
        patient=1,
        drawn=Kind.COVID,
        is_white=True,
        ends=("lung_opaque", ANALYSED),
    ),
)

HEAD = Scan(slices=36, rows=192, columns=192, slice_mm=5.0, pixel_mm=(1.25, 1.25), centre_lps_mm=(0.0, 10.0, 0.0))


def demonstration_studies(folder: Path) -> Iterator[DemoStudy]:
    """Write the demonstration's studies below `folder`, one folder each, and give each as it is done, in order of
    arrival.

    The last was acquired just now (in local time). Patients and UIDs are always the same.
    """
    now = datetime.now()
    jobs = [
        (plan, index, folder / f"{index + 1:02d}", now - BETWEEN * (len(PLANS) - 1 - index))
        for index, plan in enumerate(PLANS)
    ]
    # Spawned, not forked: the caller may have threads and an open database.
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_write, *zip(*jobs, strict=True))


def _write(plan: Plan, index: int, folder: Path, acquired_at: datetime) -> DemoStudy:
    info = StudyInfo(
        study_uid=uid_for("demo", SEED, index),
        patient_name=plan.name,
        patient_id=f"DEMO-{index + 1:04d}",
        patient_birth_date=f"{1938 + (7 * index) % 53}{1 + index % 12:02d}{3 + index:02d}",
        patient_sex=plan.sex,
        accession_number=f"DA{SEED:03d}{index + 1:04d}",
        study_id=str(index + 1),
        study_description=plan.description,
        body_part="CHEST" if plan.drawn else "HEAD",
        character_set=plan.character_set,
        acquired_at=acquired_at,
    )
    drawn = None if plan.drawn is None else _patient(plan, plan.drawn)
    phantom = drawn.phantom if drawn else Phantom(seed=plan.patient, region=Region.HEAD)
    written = write_study(phantom, folder, info=info, options=_options(plan, drawn))
    return DemoStudy(
        study_uid=info.study_uid,
        kind=plan.kind,
        label=drawn.label.value if drawn else "",
        patient_name=plan.name,
        patient_id=info.patient_id,
        accession_number=info.accession_number,
        study_description=plan.description,
        priority="STAT" if plan.description == STAT_DESCRIPTION else "",
        ends=plan.ends,
        right_fraction=written.truth.right_fraction if drawn else None,
        left_fraction=written.truth.left_fraction if drawn else None,
        paths=written.paths,
    )


def _patient(plan: Plan, kind: Kind) -> Drawn:
    """The member of the population, with as much pneumonia as the plan wants."""
    drawn = draw(plan.patient, kind=kind, all_forms=False)  # they were chosen before there were more
    pathology = drawn.phantom.pathology
    if plan.share is not None:
        pathology = replace(pathology, placed_fraction=plan.share)
    if plan.is_white:
        pathology = Pathology(right=WHITE_RIGHT, left=WHITE_LEFT, consolidation_share=WHITE_CONSOLIDATED)
    return replace(drawn, phantom=replace(drawn.phantom, pathology=pathology))


def _options(plan: Plan, drawn: Drawn | None) -> Options:
    if drawn is None:
        return Options(scans=(HEAD,), syntax=plan.syntax)
    scan = whole_chest(drawn, plan.slice_mm, PIXELS)
    if not plan.two_kernels:
        return Options(scans=(scan,), syntax=plan.syntax)
    # The same range, twice as many slices.
    sharp = replace(scan, slices=2 * scan.slices, slice_mm=scan.slice_mm / 2, thickness_mm=1.5, kernel=LUNG_KERNEL)
    return Options(scans=(scan, sharp), localizer=True, syntax=plan.syntax)
