"""`triaged score`: files and folders -> findings and result objects, without a daemon, a store or a PACS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread

from triaged.analysis.analyst import Analysed, Analyst, Examined
from triaged.artefacts import PICTURE
from triaged.errors import TriagedError
from triaged.intake.headers import read_headers
from triaged.intake.spool import safe_uid
from triaged.logs import where
from triaged.records import Findings, Outcome, Role, StudyState
from triaged.results.build import ResultInput, build_results, to_bytes

log = logging.getLogger(__name__)

# Results made here belong to no daemon's database; their UIDs derive from this fixed installation, so that scoring
# the same files twice gives the same objects.
OFFLINE_INSTALLATION = "2.25.311886482094219640311233519462073581312"


@dataclass(frozen=True, kw_only=True)
class Found:
    """The studies among some files, and what was passed over."""

    studies: dict[str, list[Path]] = field(default_factory=dict)  # Study Instance UID -> files
    skipped: list[Path] = field(default_factory=list)  # not DICOM, or not to be identified


def find(paths: Iterable[Path]) -> Found:
    """Sort files, and all files below folders, by study. What cannot be identified is passed over and counted."""
    found = Found()
    for path in _files(paths):
        try:
            study, _ = read_headers(path)
            safe_uid(study.study_uid)  # it names a folder below --out
        except TriagedError:
            found.skipped.append(path)
            continue
        found.studies.setdefault(study.study_uid, []).append(path)
    return found


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (p for p in sorted(path.rglob("*")) if p.is_file())
        else:
            yield path


def score(
    analyst: Analyst, study_uid: str, files: Sequence[Path], out: Path | None, progress: Callable[[str], None] | None
) -> dict[str, object]:
    """Analyse one study and, where `out` is given, write its objects there. Returns the item `score --json` prints.

    Raises OSError where `out` cannot be written: that is no study's fault.
    """
    try:
        examined = analyst.examine(files)
        made = analyst.analyse(examined, progress=progress)
    except Exception as error:  # the job's edge: the other studies are wanted too
        log.exception("analysis failed", extra={"study": study_uid})
        words = f"internal error ({where(error)})"
        return item(study_uid, Outcome(state=StudyState.FAILED, reason_code=type(error).__name__, reason=words))
    if out is not None and made.artefacts is not None:
        _write(out / study_uid, made, examined)
    return item(study_uid, made.outcome)


def _write(folder: Path, made: Analysed, examined: Examined) -> None:
    left, outcome = made.artefacts, made.outcome
    assert left is not None
    assert outcome.findings is not None
    assert outcome.choice is not None
    assert made.coronal is not None
    folder.mkdir(parents=True, exist_ok=True)
    wanted = ResultInput(
        source=[dcmread(path, stop_before_pixels=True, force=True) for path in examined.chosen],
        findings=outcome.findings,
        choice=outcome.choice,
        masks=left.masks,
        projection=made.coronal,
        installation_uid=OFFLINE_INSTALLATION,
        made_at=datetime.now(UTC),
    )
    for role, built in build_results(wanted, tuple(Role)).items():
        (folder / f"{role.value}.dcm").write_bytes(to_bytes(built))
    (folder / PICTURE).write_bytes(left.picture_png)


def item(study_uid: str, outcome: Outcome) -> dict[str, object]:
    """One item of `triaged score --json`: the finding keys of the worklist, and what only an offline run tells."""
    return {
        "study_uid": study_uid,
        "state": outcome.state.value,
        "reason": outcome.reason,
        "reason_code": outcome.reason_code,
        "series_uid": None if outcome.choice is None else outcome.choice.series_uid,
        "series_reason": None if outcome.choice is None else outcome.choice.reason,
        **finding_keys(outcome.findings),
    }


def finding_keys(found: Findings | None) -> dict[str, object]:
    """Findings as JSON: fractions as percentages to a tenth, volumes in mL, null where there is none."""
    if found is None:
        names = (
            "covid_probability affected_percent affected_percent_left affected_percent_right ct_grade "
            "lung_volume_ml_left lung_volume_ml_right lesion_volume_ml model seconds seconds_per_stage"
        )
        return dict.fromkeys(names.split()) | {"flags": [], "remarks": []}
    return {
        "covid_probability": found.covid_probability,
        "affected_percent": _percent(found.affected_fraction),
        "affected_percent_left": _percent(found.affected_fraction_left),
        "affected_percent_right": _percent(found.affected_fraction_right),
        "ct_grade": None if found.ct_grade is None else found.ct_grade.value,
        "lung_volume_ml_left": _ml(found.lung_volume_ml_left),
        "lung_volume_ml_right": _ml(found.lung_volume_ml_right),
        "lesion_volume_ml": _ml(found.lesion_volume_ml),
        "model": " + ".join(f"{m.name} {m.version}" for m in found.provenance.models),
        "seconds": round(sum(found.provenance.seconds.values()), 3),
        "seconds_per_stage": found.provenance.seconds,
        "flags": [flag.value for flag in found.flags],
        "remarks": list(found.remarks),
    }


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else round(100 * fraction, 1)


def _ml(volume_ml: float | None) -> float | None:
    return None if volume_ml is None else round(volume_ml, 1)
