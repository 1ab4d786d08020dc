"""A real PACS forwards to us, again and again: nothing counts twice, and our own objects are no images."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.orthanc import orthanc
from tests.unit.intake.making import STUDY, config_for, data_set, listening
from triaged.clock import now
from triaged.records import DeliveryState, PlannedDelivery, Role

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.peer("Orthanc")
def test_what_orthanc_forwards_is_kept_once_and_ours_is_recognised(tmp_path: Path) -> None:
    with listening(config_for(tmp_path)) as running, orthanc(tmp_path / "pacs") as pacs:
        pacs.add_modality("us", "TRIAGED", running.port)

        sources = tmp_path / "images"
        sources.mkdir()
        ours = data_set(1, series=77, SOPClassUID=SECONDARY_CAPTURE, Modality="OT")
        for number, ds in enumerate([*(data_set(k) for k in range(1, 13)), ours]):
            ds.save_as(sources / f"{number}.dcm", enforce_file_format=True)
        images = [sources / f"{number}.dcm" for number in range(12)]

        assert pacs.upload(*images) == 12
        pacs.send(STUDY, "us")
        pacs.wait_for(lambda: running.store.studies.get(STUDY).instance_count == 12)
        before, moment = running.store.studies.get(STUDY), now()
        planned = PlannedDelivery(
            role=Role.PICTURE, sop_uid=ours.SOPInstanceUID, series_uid=ours.SeriesInstanceUID, not_before=moment.utc
        )
        running.store.deliveries.plan(STUDY, 1, [planned], moment)
        assert pacs.upload(sources / "12.dcm") == 1
        for _ in range(3):
            pacs.send(STUDY, "us")
        (delivery,) = running.store.deliveries.of(STUDY)
        assert delivery.state is DeliveryState.CONFIRMED
        time.sleep(0.7)  # longer than the counts take to be written
        assert running.store.studies.get(STUDY) == before
        assert list(running.spool.versions.rglob("*.dcm")) == []
        assert running.leftovers() == []
