"""What every result object says of its maker and its making: equipment, dates, coding scheme; and its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO

import highdicom
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

from triaged.implementation import IMPLEMENTATION_CLASS_UID
from triaged.records import ModelIdentity, Provenance
from triaged.results import codes
from triaged.results.source import carry
from triaged.results.uids import ObjectUids, derive

MANUFACTURER = "triaged"
MODEL_NAME = "triaged"
# Above what scanners and workstations number their own series with, so that ours sort to the end of a study.
SERIES_NUMBERS = {"SEG": 9901, "SR": 9902, "OT": 9903}
COPIED_EQUIPMENT = (
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Who makes the object, by which algorithms and when: `made_at` is aware, and is the time of the outcome."""

    uids: ObjectUids
    installation_uid: str
    made_at: datetime
    made_by: Provenance
    institution: str = ""

    def local_time(self, source: Dataset) -> datetime:
        """`made_at` on the clock of the study: its TimezoneOffsetFromUTC, or this machine's zone where it has none."""
        offset = str(source.get("TimezoneOffsetFromUTC", "") or "")
        if len(offset) == 5 and offset[0] in "+-" and offset[1:].isdigit():
            minutes = int(offset[1:3]) * 60 + int(offset[3:])
            zone = timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
            return self.made_at.astimezone(zone)
        return self.made_at.astimezone()

    def model(self, role: str) -> ModelIdentity:
        """The algorithm that filled this role; where none is named, this program itself."""
        for model in self.made_by.models:
            if model.role == role:
                return model
        return ModelIdentity(role=role, name=MODEL_NAME, version=self.made_by.triaged_version)


def plain(text: str, limit: int = 1024) -> str:
    """`text` in ASCII, which every Specific Character Set of DICOM includes, cut to `limit` characters."""
    swapped = text.translate({0x2013: "-", 0x2014: "-", 0x2212: "-", 0xD7: "x", 0x2265: ">=", 0x2264: "<=", 0x5C: "/"})
    return swapped.encode("ascii", "replace").decode("ascii")[:limit]


def apply(stamp: Stamp, source: Dataset, dataset: Dataset, *, description: str) -> None:
    """Write the stamp into a built object, over whatever the library put there from its own clock and name."""
    carry(source, dataset)
    made_at = stamp.local_time(source)
    date, time = made_at.strftime("%Y%m%d"), made_at.strftime("%H%M%S.%f")
    for moment in ("InstanceCreation", "Content", "Series"):
        setattr(dataset, f"{moment}Date", date)
        setattr(dataset, f"{moment}Time", time)
    dataset.SeriesDescription = description
    dataset.SeriesNumber = SERIES_NUMBERS[dataset.Modality]
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.SoftwareVersions = plain(stamp.made_by.triaged_version, 64)
    dataset.DeviceSerialNumber = stamp.installation_uid[:64]
    institution = plain(stamp.institution, 64) or source.get("InstitutionName")
    if institution:
        dataset.InstitutionName = institution
    dataset.ContributingEquipmentSequence = _equipment(stamp, source, made_at)
    dataset.CodingSchemeIdentificationSequence = codes.scheme_identification()
    if "DimensionOrganizationSequence" in dataset:
        _settle_dimensions(dataset, derive(stamp.installation_uid, stamp.uids.sop_uid, "dimensions"))


def _equipment(stamp: Stamp, source: Dataset, made_at: datetime) -> Items:
    """The scanner, then one item per algorithm (IHE AIR), then the library that wrote the object."""
    items = []
    if source.get("Manufacturer"):
        scanner = Dataset()
        for keyword in COPIED_EQUIPMENT:
            if source.get(keyword):
                scanner.add(source[keyword])
        scanner.PurposeOfReferenceCodeSequence = codes.code_sequence([codes.ACQUISITION_EQUIPMENT])
        items.append(scanner)
    for model in stamp.made_by.models:
        item = _processing(MANUFACTURER, model.name, model.version, f"Algorithm in the role: {model.role}")
        item.DeviceUID = derive(stamp.installation_uid, model.role, model.name, model.version, model.sha256)
        item.ContributionDateTime = made_at.strftime("%Y%m%d%H%M%S.%f")
        items.append(item)
    items.append(_processing("Highdicom contributors", "highdicom", highdicom.__version__, "Library that wrote this"))
    return Items(items)


def _processing(manufacturer: str, name: str, version: str, description: str) -> Dataset:
    item = Dataset()
    item.Manufacturer = manufacturer
    item.ManufacturerModelName = plain(name, 64)
    item.SoftwareVersions = plain(version, 64)
    item.ContributionDescription = plain(description)
    item.PurposeOfReferenceCodeSequence = codes.code_sequence([codes.PROCESSING_EQUIPMENT])
    return item


def _settle_dimensions(dataset: Dataset, uid: str) -> None:
    """The library draws a random Dimension Organization UID; ours follows from the object."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def to_bytes(dataset: Dataset) -> bytes:
    """The object as a Part 10 file in Explicit VR Little Endian, the same bytes for the same object."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = plain(f"TRIAGED_{dataset.SoftwareVersions}", 16)
    out = BytesIO()
    file = Dataset(dataset)
    file.file_meta = meta
    dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def labels(models: Sequence[ModelIdentity]) -> str:
    """Names and versions of the algorithms on one line."""
    return ", ".join(f"{m.name} {m.version}" for m in models)
