"""The torture set, sent over the network: each file is kept or refused as its EXPECT.md says, and life goes on."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from tests.support import eventually, peer
from tests.unit.intake.making import Running, config_for, data_set, listening, send
from triaged.intake.headers import Unidentified, read_headers
from triaged.intake.selection import select
from triaged.records import Reason

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's remarks on what these files are here for

REFUSED = "refused"
# Folder -> the reasons that EXPECT.md allows where its studies are looked at from their headers; REFUSED: the object
# itself is rejected. What only the pixels show is the reader's to say: "too few slices" is right of single images.
EXPECTED: dict[str, set[Reason | str]] = {
    "bad-meta": {Reason.TOO_FEW_SLICES, Reason.NOT_CHEST, Reason.NO_AXIAL_CT, REFUSED},
    "enhanced-multiframe": {Reason.DERIVED_ONLY, Reason.TOO_FEW_SLICES, Reason.MULTIFRAME},
    "gantry-tilt": {Reason.GANTRY_TILT},
    "localizer-and-sc": {Reason.NO_AXIAL_CT, Reason.NOT_CT, REFUSED},  # REFUSED: DIRFILE, which is no instance
    "missing-slice": {Reason.GAP, Reason.TOO_FEW_SLICES},
    "no-preamble-no-meta": {REFUSED, Reason.NOT_CT},
    "no-sop-class": {REFUSED},
    "not-a-volume": {Reason.DUPLICATE_POSITIONS},
    "private-sop-class": {Reason.NOT_CT},
    "reformats": {Reason.TOO_FEW_SLICES},
    "tomosynthesis-as-ct": {Reason.NOT_CHEST},
    "truncated": {Reason.TOO_FEW_SLICES, Reason.NOT_CT, REFUSED},
    "ts-cornerstone": {Reason.SYNTAX, Reason.TOO_FEW_SLICES, Reason.DUPLICATE_POSITIONS},
    "ts-nema": {Reason.TOO_FEW_SLICES, Reason.DUPLICATE_POSITIONS},
    "wrong-transfer-syntax": {Reason.TOO_FEW_SLICES},
}


def data_set_bytes(path: Path) -> tuple[dict[str, str], bytes]:
    """Identity and raw data set of a file, byte for byte as it would travel; empty where nobody could send it."""
    content = path.read_bytes()
    has_preamble = content[128:132] == b"DICM"
    ds = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
    sop_class, sop = ds.get("SOPClassUID"), ds.get("SOPInstanceUID")
    if not sop_class or not sop:
        return {}, b""
    syntax = ds.file_meta.get("TransferSyntaxUID") or ImplicitVRLittleEndian
    meta_length = ds.file_meta.get("FileMetaInformationGroupLength")
    start = 132 + 12 + int(meta_length) if has_preamble and meta_length else 0
    return {"sop_class": str(sop_class), "sop": str(sop), "syntax": str(syntax)}, content[start:]


def store_raw(port: int, identity: dict[str, str], payload: bytes) -> int:
    """C-STORE of bytes that no library has touched."""
    ae = AE(ae_title="ODD")
    ae.acse_timeout = ae.dimse_timeout = 20
    ae.add_requested_context(identity["sop_class"], identity["syntax"])
    association: Any = ae.associate("127.0.0.1", port, ae_title="TRIAGED")
    assert association.is_established
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = identity["sop_class"], identity["sop"]
    request.DataSet = BytesIO(payload)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    return int(answer.Status)


def verdicts(running: Running) -> set[Reason | str]:
    found: set[Reason | str] = set()
    for study in running.spool.studies():
        paths = [p for series in running.spool.series(study) for p in running.spool.paths(study, series)]
        selection = select([read_headers(path)[1] for path in paths])
        assert selection.choice is None, "none of these is a chest CT"
        assert selection.reason_code is not None
        assert selection.reason
        found.add(selection.reason_code)
    return found


@pytest.mark.parametrize("folder", sorted(EXPECTED))
def test_each_odd_file_is_kept_or_refused_by_name(tmp_path: Path, shared_data: Path, folder: str) -> None:
    files = sorted(p for p in (shared_data / "odd" / folder).iterdir() if p.suffix != ".md")
    assert files
    outcomes: set[Reason | str] = set()
    with listening(config_for(tmp_path)) as running:
        kept = 0
        for path in files:
            identity, payload = data_set_bytes(path)
            status = store_raw(running.port, identity, payload) if identity else None
            if status == 0:
                kept += 1
            else:
                assert status is None or status & 0xF000 in {0xC000, 0xA000}
                outcomes.add(REFUSED)
        found = verdicts(running)
        assert found | outcomes <= EXPECTED[folder]
        spooled = sum(
            len(running.spool.paths(st, se)) for st in running.spool.studies() for se in running.spool.series(st)
        )
        versions = len(list(running.spool.versions.rglob("*.dcm")))
        assert spooled + versions == kept
        assert send(running.port, data_set()) == [0]
        eventually(lambda: sum(s.instance_count for s in running.store.studies.all()) == spooled + 1)


def test_every_folder_of_the_torture_set_is_covered(shared_data: Path) -> None:
    assert {p.name for p in (shared_data / "odd").iterdir() if p.is_dir()} == set(EXPECTED)


def test_no_odd_file_makes_the_reader_of_headers_fail_otherwise(shared_data: Path) -> None:
    for path in sorted((shared_data / "odd").rglob("*")):
        if path.is_file():
            try:
                study, instance = read_headers(path)
            except Unidentified:
                continue
            assert study.study_uid == instance.study_uid


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        ("cap-001", "2 mm axial, medium kernel D40s, 54 slices covering 324 mm"),
        ("normal-001", "2 mm axial, medium kernel D40s, 48 slices covering 288 mm"),
        ("covid-P001", "2 mm axial, medium kernel D40s, 148 slices covering 296 mm"),
        ("cip-ct64", "3.99 mm axial, 79 slices covering 315 mm"),
        ("lungdx-A0001", "5 mm axial, soft kernel B over sharp L, 56 slices covering 280 mm"),
    ],
)
def test_real_chests_are_chosen_for_their_reason(shared_data: Path, study: str, reason: str) -> None:
    paths = (shared_data / "studies" / study).rglob("*.dcm")
    selection = select([read_headers(path)[1] for path in paths])
    assert selection.choice is not None
    assert selection.choice.reason == reason


def test_real_studies_arrive_byte_for_byte_as_they_were_compressed(tmp_path: Path, shared_data: Path) -> None:
    dcmsend = peer("dcmsend")
    sources = {
        str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path
        for folder in ("covid-P001", "cap-001", "cip-ct64", "lungdx-A0001/series-1-localizer")
        for path in sorted((shared_data / "studies" / folder).glob("*.dcm"))[:3]
    }
    with listening(config_for(tmp_path)) as running:
        files = [str(path) for path in sources.values()]
        command = [dcmsend, "-aec", "TRIAGED", "127.0.0.1", str(running.port), *files]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        kept = {path.stem: path for path in running.spool.root.rglob("*.dcm")}
    assert set(kept) == set(sources)
    for uid, path in kept.items():
        ours, theirs = pydicom.dcmread(path), pydicom.dcmread(sources[uid])
        compressed = theirs.file_meta.TransferSyntaxUID
        if compressed.is_compressed:  # between implicit and explicit VR the sender may rewrite, and loses nothing
            assert ours.file_meta.TransferSyntaxUID == compressed
        assert ours.PixelData == theirs.PixelData
