"""Images that come late: those of the chosen series open a second revision, those of another one change nothing."""

from __future__ import annotations

from pathlib import Path

from tests.daemon import running_daemon
from tests.orthanc import orthanc
from tests.support import free_port
from training.phantom.study import SMALL, Options, small_study
from triaged.records import DeliveryState, StudyState


def test_late_slices_reopen_the_study_and_a_late_localizer_does_not(tmp_path: Path) -> None:
    port = free_port()
    study = small_study(
        tmp_path / "study", seed=3, right=0.25, left=0.05, options=Options(scans=(SMALL,), localizer=True)
    )
    axial, localizer = study.series[0].paths, study.series[1].paths
    with orthanc(tmp_path, forward_to=("TRIAGED", port)) as pacs:
        sections = {
            "dicom": {"port": port},
            "pacs": {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port},
        }
        with running_daemon(tmp_path, sections) as daemon, daemon.store() as store:

            def held_are(instances: int, results: int) -> None:
                """The PACS has these images and objects, and we have looked at everything it sent."""
                daemon.wait_for(lambda: len(pacs.sop_uids(study.study_uid)) == instances + results, 90)
                daemon.wait_for(lambda: store.studies.get(study.study_uid).instance_count == instances, 30)
                daemon.wait_until_decided(study.study_uid)

            pacs.upload(*axial[3:])
            daemon.wait_for(lambda: store.studies.find(study.study_uid), 30)
            daemon.wait_until_decided(study.study_uid)
            held_are(len(axial) - 3, 3)
            first = store.studies.get(study.study_uid)
            assert (first.state, first.revision) == (StudyState.ANALYSED, 1)

            pacs.upload(*localizer)
            held_are(len(axial) - 2, 3)
            same = store.studies.get(study.study_uid)
            assert (same.revision, same.completed_at, same.findings) == (1, first.completed_at, first.findings)

            pacs.upload(*axial[:3])
            held_are(len(axial) + 1, 6)
            second = store.studies.get(study.study_uid)
            assert (second.state, second.revision) == (StudyState.ANALYSED, 2)
            assert second.choice is not None
            assert second.choice.slices == len(axial)
            assert second.urgency >= first.urgency
            newest = [d for d in store.deliveries.of(study.study_uid) if d.revision == 2]
            daemon.wait_until_delivered(study.study_uid)
            assert {d.sop_uid for d in newest} <= set(pacs.sop_uids(study.study_uid))
            done = {DeliveryState.SENT, DeliveryState.CONFIRMED}
            assert {d.state for d in store.deliveries.of(study.study_uid)} <= done
