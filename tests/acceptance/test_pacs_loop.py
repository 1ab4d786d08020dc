"""A PACS that forwards everything, our own results included, and gets exactly one set of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.daemon import Daemon, running_daemon
from tests.orthanc import Orthanc, orthanc
from tests.support import free_port
from training.phantom.case import Phantom
from training.phantom.pathology import Lesion, Pathology
from training.phantom.study import WrittenStudy, small_study
from triaged.records import DeliveryState

# Dorsal, low and to the patient's right: the right lower lobe. LPS: x to the left, y to the back, z to the head.
LESION = Lesion(centre_lps_mm=(-75.0, 60.0, -45.0), radii_mm=(28.0, 24.0, 30.0))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, Daemon, WrittenStudy]]:
    tmp_path = tmp_path_factory.mktemp("loop")
    port = free_port()
    with orthanc(tmp_path, forward_to=("TRIAGED", port)) as pacs:
        sections = {
            "dicom": {"port": port},
            "pacs": {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port},
        }
        study = small_study(tmp_path / "study", phantom=Phantom(seed=3, pathology=Pathology(placed=(LESION,))))
        with running_daemon(tmp_path, sections) as daemon:
            pacs.upload(study.folder)
            daemon.wait_until_decided(study.study_uid)
            daemon.wait_until_delivered(study.study_uid)
            yield pacs, daemon, study


def test_three_cycles_of_reforwarding_leave_one_revision_and_each_object_once(
    loop: tuple[Orthanc, Daemon, WrittenStudy],
) -> None:
    pacs, daemon, study = loop
    for _ in range(3):
        pacs.wait_for(pacs.idle)
        pacs.send(study.study_uid, "TRIAGED")
        daemon.wait_until_decided(study.study_uid)
    with daemon.store() as store:
        daemon.wait_for(
            lambda: {d.state for d in store.deliveries.of(study.study_uid)} == {DeliveryState.CONFIRMED}, 30
        )
        found = store.studies.get(study.study_uid)
        assert found.revision == 1
        assert found.generation == found.examined_generation
        assert found.instance_count == len(study.paths)
        assert len(store.deliveries.of(study.study_uid)) == 3
    for modality in ("SEG", "SR", "OT"):
        assert len(pacs.sop_uids_of_modality(study.study_uid, modality)) == 1
    assert len(pacs.sop_uids(study.study_uid)) == len(study.paths) + 3


def test_a_lesion_of_the_right_lower_lobe_is_there_in_the_seg_of_the_pacs(
    loop: tuple[Orthanc, Daemon, WrittenStudy],
) -> None:
    pacs, _, study = loop
    seg = pacs.dataset(pacs.sop_uids_of_modality(study.study_uid, "SEG")[0])
    names = {s.SegmentNumber: s.SegmentLabel.lower() for s in seg.SegmentSequence}
    numbers = {name: number for number, name in names.items()}
    right = _points_mm(seg, numbers["right lung lesions"])
    truth = np.argwhere(study.truth.right_lesion) @ study.volume.affine_lps[:3, :3].T + study.volume.affine_lps[:3, 3]
    # The classical lungs lose some of what touches the pleura, so the centre moves forward by a centimetre or so.
    np.testing.assert_allclose(right.mean(axis=0), truth.mean(axis=0), atol=20.0)
    # Thresholding calls a thick vessel a lesion now and then; the left lung has nothing else to show.
    if "left lung lesions" in numbers:
        assert len(_points_mm(seg, numbers["left lung lesions"])) < 0.1 * len(right)


def _points_mm(seg: Dataset, segment: int) -> np.ndarray:
    """Every voxel of this segment in the patient, from the frames' own positions (PS3.3 C.7.6.2.1.1)."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    along_row, down_column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient).reshape(2, 3)
    row_mm, column_mm = shared.PixelMeasuresSequence[0].PixelSpacing
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    planes = bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    points = []
    for plane, group in zip(planes, seg.PerFrameFunctionalGroupsSequence, strict=True):
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == segment:
            rows, columns = np.nonzero(plane)
            position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
            points.append(position + rows[:, None] * row_mm * down_column + columns[:, None] * column_mm * along_row)
    return np.concatenate(points)
