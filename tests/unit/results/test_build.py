"""Objects carry the CT's patient and study to the byte, and the same input makes the same bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.unit.results import reader
from tests.unit.results.cases import INSTALLATION, MADE_AT, STUDY, case, ct_series, with_network
from triaged.records import Role
from triaged.results.build import build_results, result_uids, to_bytes

NAMES = {
    "latin": ("ISO_IR 100", "Müller^Jörg"),
    "utf-8": ("ISO_IR 192", "Пётр^Иванов=山田^太郎"),
    "cyrillic": ("ISO_IR 144", "Люкceмбypг"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
}
CARRIED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "IssuerOfPatientID"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "ReferringPhysicianName"),
    *("SpecificCharacterSet", "StudyInstanceUID"),
)


def raw(header: Dataset, keyword: str) -> object:
    """The value as it stands in the file: bytes, but for the character set, which pydicom reads at once."""
    value = header.get_item(keyword).value
    assert isinstance(value, bytes) or keyword == "SpecificCharacterSet"
    return value if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize(("charset", "name"), NAMES.values(), ids=NAMES.keys())
def test_patient_study_and_character_set_are_the_ones_of_the_ct_to_the_byte(
    charset: str | list[str], name: str
) -> None:
    given = {"SpecificCharacterSet": charset, "PatientName": name, "IssuerOfPatientID": "HOSP"}
    source = ct_series(attributes=given)
    ours = [to_bytes(made) for made in build_results(case(source)).values()]
    theirs = ct_series(attributes=given)[0]
    for keyword in CARRIED:
        assert {raw(reader.read(data), keyword) for data in ours} == {raw(theirs, keyword)}, keyword
    assert {str(reader.read(data).PatientName) for data in ours} == {name}


def test_issuer_of_the_accession_number_is_carried() -> None:
    issuer = Dataset()
    issuer.LocalNamespaceEntityID = "RIS"
    source = ct_series(attributes={"IssuerOfAccessionNumberSequence": Sequence([issuer])})
    for made in build_results(case(source)).values():
        assert made.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "RIS"


def test_a_header_that_lacks_what_it_should_have_still_gives_results() -> None:
    absent = (
        "PatientSex",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "Manufacturer",
        "FrameOfReferenceUID",
    )
    source = ct_series(attributes=dict.fromkeys(absent))
    for made in build_results(case(source)).values():
        assert made.AccessionNumber in (None, "")
        assert made.PatientID == "PID-1"
    assert len({str(s.get("FrameOfReferenceUID")) for s in source}) == 1


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = ({role: to_bytes(made) for role, made in build_results(case()).items()} for _ in range(2))
    assert first == second


def test_uids_are_those_known_before_building() -> None:
    wanted = case()
    known = result_uids(INSTALLATION, STUDY, wanted.choice, wanted.findings.provenance)
    built = build_results(wanted)
    assert {role: (d.SOPInstanceUID, d.SeriesInstanceUID) for role, d in built.items()} == {
        role: (uids.sop_uid, uids.series_uid) for role, uids in known.items()
    }


def test_every_object_says_who_made_it() -> None:
    wanted = case()
    wanted = replace(wanted, findings=with_network(wanted.findings))
    for made in build_results(wanted).values():
        equipment = [(i.ManufacturerModelName, i.SoftwareVersions) for i in made.ContributingEquipmentSequence[1:]]
        assert equipment[:2] == [("region-growing", "1.0"), ("ct-triage", "0.1")]
        assert made.ContributingEquipmentSequence[0].Manufacturer == "Scanner Works"
        assert made.SeriesDescription.startswith("AI")
        assert made.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99TRIAGED"
        assert made.DeviceSerialNumber == INSTALLATION


@pytest.mark.parametrize(("offset", "time"), [("+0330", "123807"), ("-0500", "040807")])
def test_times_are_on_the_clock_of_the_study(offset: str, time: str) -> None:
    source = ct_series(attributes={"TimezoneOffsetFromUTC": offset})
    for made in build_results(case(source)).values():
        assert (made.ContentDate, made.ContentTime[:6]) == ("20261120", time)
        assert made.TimezoneOffsetFromUTC == offset


def test_times_are_local_where_the_study_names_no_zone() -> None:
    local = MADE_AT.astimezone()
    for made in build_results(case()).values():
        assert made.InstanceCreationDate + made.InstanceCreationTime[:6] == local.strftime("%Y%m%d%H%M%S")
        assert "TimezoneOffsetFromUTC" not in made


def test_only_what_is_wanted_is_built() -> None:
    assert set(build_results(case(), [Role.SR])) == {Role.SR}
    assert set(build_results(case(), [Role.PICTURE, Role.SEG])) == {Role.PICTURE, Role.SEG}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        case(made_at=datetime.min + timedelta(days=1))


def test_files_are_part_10_with_our_implementation() -> None:
    for made in build_results(case()).values():
        data = to_bytes(made)
        meta = reader.read(data).file_meta
        assert data[128:132] == b"DICM"
        assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert meta.ImplementationVersionName == "TRIAGED_0.1.0"
        assert meta.ImplementationClassUID.startswith("2.25.")
        assert meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
