"""The torture set through the whole daemon: what was kept ends in a state with a reason, and life goes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.daemon import running_daemon
from tests.integration.test_odd_files import data_set_bytes, store_raw
from tests.support import peer
from training.phantom.study import small_study
from triaged.intake.headers import read_headers
from triaged.records import Reason, StudyState

# What EXPECT.md of each folder allows as the end of a study that was kept.
ALLOWED: dict[str, set[Reason]] = {
    "bad-meta": {Reason.TOO_FEW_SLICES, Reason.NOT_CHEST, Reason.UNREADABLE},
    "enhanced-multiframe": {Reason.DERIVED_ONLY, Reason.TOO_FEW_SLICES, Reason.MULTIFRAME},
    "gantry-tilt": {Reason.GANTRY_TILT},
    "localizer-and-sc": {Reason.NO_AXIAL_CT, Reason.NOT_CT},
    "missing-slice": {Reason.GAP},
    "no-preamble-no-meta": {Reason.NOT_CT},
    "not-a-volume": {Reason.DUPLICATE_POSITIONS},
    "private-sop-class": {Reason.NOT_CT},
    "reformats": {Reason.TOO_FEW_SLICES},
    "tomosynthesis-as-ct": {Reason.NOT_CHEST},
    "truncated": {Reason.UNREADABLE, Reason.NOT_CT},
    "ts-cornerstone": {Reason.SYNTAX, Reason.TOO_FEW_SLICES},
    "ts-nema": {Reason.TOO_FEW_SLICES, Reason.DUPLICATE_POSITIONS},
    "wrong-transfer-syntax": {Reason.UNREADABLE},
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's remarks on what these files are here for
def test_odd_studies_are_named_and_the_next_good_one_is_analysed(tmp_path: Path, shared_data: Path) -> None:
    with running_daemon(tmp_path, {"": {"mode": "shadow"}}) as daemon:
        sent: dict[str, set[str]] = {}
        for folder in sorted(p for p in (shared_data / "odd").iterdir() if p.is_dir()):
            for path in sorted(p for p in folder.iterdir() if p.suffix != ".md"):
                identity, payload = data_set_bytes(path)
                if identity and store_raw(daemon.dicom_port, identity, payload) == 0x0000:
                    sent.setdefault(read_headers(path)[0].study_uid, set()).add(folder.name)
        daemon.wait_until_decided(*sent)
        with daemon.store() as store:
            for uid, folders in sent.items():  # some folders hold images of one and the same study
                study = store.studies.get(uid)
                assert study.state is StudyState.NOT_ANALYSED, (folders, study.state)
                assert study.reason_code in set().union(*(ALLOWED[f] for f in folders)), (folders, study.reason)
                assert study.reason
            listed = {item["study_uid"] for item in daemon.worklist()}
            assert set(sent) <= listed, "what was not analysed stays to be read"
        echo = [peer("echoscu"), "-aec", "TRIAGED", "127.0.0.1", str(daemon.dicom_port)]
        subprocess.run(echo, check=True, timeout=30)
        good = small_study(tmp_path / "good", seed=5, right=0.2)
        send = [peer("dcmsend"), "-aec", "TRIAGED", "+sd", "+r", "127.0.0.1", str(daemon.dicom_port), str(good.folder)]
        subprocess.run(send, check=True, timeout=60)
        daemon.wait_until_decided(good.study_uid)
        with daemon.store() as store:
            assert store.studies.get(good.study_uid).state is StudyState.ANALYSED
