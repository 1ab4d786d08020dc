"""The whole path: from the first slice on the wire to the committed place on the list, beside the pipeline alone.

    python -m tests.benchmarks path

The difference is what the daemon adds: receiving, the quiet time (1 s here), waiting for the worker, writing what the
analysis leaves, and the commit.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.measured import Measured, in_turns, seconds
from tests.daemon import Daemon, running_daemon
from training.phantom.case import Phantom
from training.phantom.pathology import Pathology
from training.phantom.scanner import Scan
from training.phantom.study import Options, WrittenStudy, write_study
from triaged.analysis.analyst import Analyst
from triaged.config import Analysis
from triaged.demo_pacs import send_files

CHEST = Scan(slices=60, rows=512, columns=512, slice_mm=5.0, pixel_mm=(0.72, 0.72))
REPEATS = 2


def through_us(daemon: Daemon, study: WrittenStudy) -> float:
    """Seconds from the first instance to the outcome, by the daemon's own record of both."""
    send_files(study.paths, port=daemon.dicom_port, called="TRIAGED", calling="CT1")
    daemon.wait_until_decided(study.study_uid, limit_s=600)
    with daemon.store() as store:
        decided = store.studies.get(study.study_uid)
        events = {event.kind: event.at for event in store.events.of(study.study_uid)}
    assert decided.completed_at is not None
    assert decided.findings is not None, decided.reason
    stages = [("receiving and quiet time", "received", "ready"), ("waiting for a worker", "ready", "claimed")]
    stages.append(("analysing and committing", "claimed", "analysed"))
    said = [f"{words} {(events[end] - events[start]).total_seconds():.1f} s" for words, start, end in stages]
    print(
        f"path: {', '.join(said)}; the pipeline's own stages {sum(decided.findings.provenance.seconds.values()):.1f} s"
    )
    return (decided.completed_at - decided.received_at).total_seconds()


def alone(study: WrittenStudy) -> float:
    analyst = Analyst(Analysis(), "cpu", "bench")
    return seconds(lambda: analyst.analyse(analyst.examine(study.paths)))


def run() -> list[Measured]:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        studies = [
            write_study(
                Phantom(seed=seed, pathology=Pathology(right=0.2, left=0.1)),
                top / f"study-{seed}",
                options=Options(scans=(CHEST,)),
            )
            for seed in range(1, REPEATS + 1)
        ]
        changes = {"": {"mode": "shadow"}, "log": {"level": "WARNING"}}
        with running_daemon(top, changes) as daemon:
            waiting = iter(studies)
            best = in_turns(
                REPEATS, {"ours": lambda: through_us(daemon, next(waiting)), "alone": lambda: alone(studies[0])}
            )
            stored = sum(f.stat().st_size for f in daemon.config.storage.path.rglob("*") if f.is_file())
            left = sum(f.stat().st_size for f in daemon.config.artefacts.rglob("*") if f.is_file())
        images = sum(path.stat().st_size for study in studies for path in study.paths)
    print(
        f"path: on disk per study of {CHEST.slices} slices: {stored / REPEATS / 1e6:.1f} MB, of which images "
        f"{images / REPEATS / 1e6:.1f} MB, masks and pictures {left / REPEATS / 1e6:.2f} MB"
    )
    what = f"first slice to place on the list, {CHEST.slices} slices, 1 s of quiet time"
    return [
        Measured(what=what, ours_ms=1000 * best["ours"], peer="pipeline called directly", peer_ms=1000 * best["alone"])
    ]
