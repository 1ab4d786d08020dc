"""Shadow first, live later: in shadow mode nothing moves and nothing is sent; live takes up from there."""

from __future__ import annotations

from pathlib import Path

from tests.daemon import Daemon, configured
from tests.orthanc import orthanc
from training.phantom.dicom import StudyInfo, uid_for
from training.phantom.study import WrittenStudy, small_study
from triaged.demo_pacs import send_files
from triaged.records import StudyState


def test_a_site_goes_from_shadow_to_live(tmp_path: Path) -> None:
    mild, severe, later = (
        small_study(tmp_path / name, seed=3, right=right, info=StudyInfo(study_uid=uid_for("shadow", name)))
        for name, right in (("mild", 0.08), ("severe", 0.45), ("later", 0.20))
    )
    with orthanc(tmp_path) as pacs:
        pacs_section = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port}
        shadow = configured(tmp_path, {"": {"mode": "shadow"}, "pacs": pacs_section})
        shadow.start()
        try:
            for study in (mild, severe):
                _send(shadow, study)
            shadow.wait_until_decided(mild.study_uid, severe.study_uid)
            items = shadow.worklist()
            assert [item["study_uid"] for item in items] == [mild.study_uid, severe.study_uid], "as they arrived"
            assert [item["would_be_position"] for item in items] == [2, 1], "what AI would do is shown"
            assert items[1]["affected_percent"] > items[0]["affected_percent"] > 0
        finally:
            assert shadow.stop() == 0

        live = configured(tmp_path, {"pacs": pacs_section})
        live.start()
        try:
            assert [item["study_uid"] for item in live.worklist()] == [severe.study_uid, mild.study_uid]
            _send(live, later)
            live.wait_until_decided(later.study_uid)
            live.wait_until_delivered(later.study_uid)
            order = [item["study_uid"] for item in live.worklist()]
            assert order == [severe.study_uid, later.study_uid, mild.study_uid]
            with live.store() as store:
                assert {s.state for s in store.studies.all()} == {StudyState.ANALYSED}
                assert {s.revision for s in store.studies.all()} == {1}, "nothing was analysed twice"
            assert pacs.studies() == [later.study_uid], "what was analysed in shadow stays there"
            assert len(pacs.sop_uids(later.study_uid)) == 3
        finally:
            assert live.stop() == 0


def _send(daemon: Daemon, study: WrittenStudy) -> None:
    send_files(study.paths, port=daemon.dicom_port, called="TRIAGED", calling="CT1")
