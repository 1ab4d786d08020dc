"""Files where they belong, once, and found again after a crash."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.intake.making import STUDY, Running, at, config_for, data_set, image, listening, send
from triaged.clock import now
from triaged.errors import UnsafeUID
from triaged.intake.reconcile import Reconciled, reconcile
from triaged.intake.spool import Kept, Spool
from triaged.records import StudyState
from triaged.store import Store


def incoming(spool: Spool, content: bytes = b"pixels", *, meta: bytes = b"meta") -> Path:
    """A received file: preamble, prefix, File Meta of its own length, then the data set."""
    path = spool.temporary / "one.part"
    length = len(meta).to_bytes(4, "little")
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + length + meta + content)
    return path


def test_an_instance_lies_at_study_series_sop(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", min_free_mb=0)
    header = image()
    assert spool.keep(incoming(spool), header) is Kept.NEW
    assert spool.paths(header.study_uid, header.series_uid) == [spool.path(header)]
    assert (list(spool.studies()), spool.series(STUDY)) == ([STUDY], [f"{STUDY}.2"])
    assert list(spool.temporary.iterdir()) == []


def test_the_same_data_set_is_a_duplicate_whatever_its_file_meta_says(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", min_free_mb=0)
    spool.keep(incoming(spool), image())
    assert spool.keep(incoming(spool, meta=b"a later version of ours"), image()) is Kept.DUPLICATE
    assert list(spool.temporary.iterdir()) == []


def test_each_other_content_is_kept_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", min_free_mb=0)
    contents = (b"first", b"other", b"third", b"other")
    kept = [spool.keep(incoming(spool, content), image()) for content in contents]
    assert kept == [Kept.NEW, Kept.VERSION, Kept.VERSION, Kept.DUPLICATE]
    assert spool.path(image()).read_bytes().endswith(b"first")
    assert len(list(spool.versions.rglob("*.dcm"))) == 2


@pytest.mark.parametrize(
    "uid", ["", "..", "../../etc", "1.2/3", "1.2.3\0", ".1.2", "1..2", "1.2.", "a.b", "1." * 40 + "1", "1.2\n"]
)
def test_a_uid_that_is_no_uid_never_becomes_a_path(tmp_path: Path, uid: str) -> None:
    spool = Spool(tmp_path / "spool", min_free_mb=0)
    for header in (image(study_uid=uid), image(series_uid=uid), image(sop_uid=uid)):
        with pytest.raises(UnsafeUID):
            spool.keep(incoming(spool), header)
    assert [p.name for p in spool.root.iterdir()] == [spool.temporary.name]


def test_of_many_that_bring_one_instance_at_once_one_is_new(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", min_free_mb=0)
    kept: list[Kept] = []
    start = threading.Barrier(8)
    lock = threading.Lock()

    def one(n: int) -> None:
        with lock:
            path = incoming(spool).rename(spool.temporary / f"{n}.part")
        start.wait()
        kept.append(spool.keep(path, image()))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(k.name for k in kept) == ["DUPLICATE"] * 7 + ["NEW"]


def test_a_removed_study_is_gone_and_can_come_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", min_free_mb=0)
    for content in (b"first", b"other"):
        spool.keep(incoming(spool, content), image())
    assert spool.size_bytes() > 0
    spool.remove_study(STUDY)
    assert (list(spool.studies()), spool.size_bytes()) == ([], 0)
    assert spool.keep(incoming(spool), image()) is Kept.NEW


def test_leftovers_of_the_dead_go_and_what_the_living_receive_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", min_free_mb=0)
    ours = spool.new_temporary()
    ours.write_bytes(b"being received")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    (spool.temporary / f"{process.pid}-0.part").write_bytes(b"of a process that has ended")
    (spool.temporary / "nobody.part").write_bytes(b"of nobody")
    assert spool.remove_leftovers() == 2
    assert list(spool.temporary.iterdir()) == [ours]


# -- reconciliation ----------------------------------------------------------------------------------------------------


def received(tmp_path: Path) -> tuple[Running, list[int]]:
    with listening(config_for(tmp_path)) as running:
        statuses = send(running.port, *(data_set(k, series=s) for s in (2, 3) for k in range(1, 4)))
        return running, statuses


def test_files_without_rows_get_their_rows(tmp_path: Path) -> None:
    running, statuses = received(tmp_path)
    assert statuses == [0] * 6
    running.config.database.unlink()  # as if the crash had come before any row
    (running.spool.temporary / "half.part").write_bytes(b"half an image")
    with Store(running.config.database) as store:
        assert reconcile(store, running.spool, running.config, now()) == Reconciled(studies=1, instances=6)
        study = store.studies.get(STUDY)
        assert (study.state, study.instance_count, study.header.patient_id) == (StudyState.RECEIVING, 6, "P1")
        assert study.generation > study.settled_generation
        assert running.leftovers() == []
        assert reconcile(store, running.spool, running.config, now()) == Reconciled(studies=0, instances=0)


def test_counts_that_a_crash_cut_short_are_corrected_and_looked_at_again(tmp_path: Path) -> None:
    running, _ = received(tmp_path)
    extra = data_set(4)
    extra.file_meta.MediaStorageSOPClassUID, extra.file_meta.MediaStorageSOPInstanceUID = extra.SOPClassUID, "1.2"
    extra.save_as(running.spool.root / STUDY / f"{STUDY}.2" / f"{extra.SOPInstanceUID}.dcm", enforce_file_format=True)
    with Store(running.config.database) as store:
        before = store.studies.get(STUDY)
        assert reconcile(store, running.spool, running.config, now()) == Reconciled(studies=1, instances=1)
        after = store.studies.get(STUDY)
        assert (after.instance_count, after.generation) == (7, before.generation + 1)


def test_what_a_dead_listener_held_open_is_closed(tmp_path: Path) -> None:
    running, _ = received(tmp_path)
    with Store(running.config.database) as store:
        study = store.studies.get(STUDY)
        with store.atomic():
            store.execute("INSERT INTO touches VALUES ('dead', ?, 5.0, NULL)", (study.study_uid,))
        reconcile(store, running.spool, running.config, at(99.0))
        (pending,) = store.studies.pending()
        assert all(touch.closed_mono_s is not None for touch in pending.touches)


def test_a_folder_that_is_not_ours_is_reported_and_left_alone(tmp_path: Path) -> None:
    running, _ = received(tmp_path)
    stranger = running.spool.root / "lost+found" / "x"
    stranger.mkdir(parents=True)
    (stranger / "y.dcm").write_bytes(b"nothing")
    with Store(running.config.database) as store:
        assert reconcile(store, running.spool, running.config, now()) == Reconciled(studies=0, instances=0)
    assert (stranger / "y.dcm").exists()
