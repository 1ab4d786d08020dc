"""Headers, small data sets, settings and senders for the tests of intake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from triaged.clock import Now
from triaged.config import Config, parse
from triaged.intake.listener import Listener
from triaged.intake.spool import Spool
from triaged.records import InstanceHeader
from triaged.store import Store

STUDY = "1.2.826.0.1.3680043.10.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# An axial stack in a patient who lies 10 degrees askew, so that no axis is another's.
ASKEW = (0.984807753, 0.173648178, 0.0, -0.171010072, 0.969846310, 0.173648178)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def image(**values: Any) -> InstanceHeader:
    """One axial chest slice, and whatever of it is to be different."""
    chosen: dict[str, Any] = {
        "study_uid": STUDY,
        "series_uid": f"{STUDY}.2",
        "sop_uid": f"{STUDY}.2.1",
        "sop_class_uid": str(CTImageStorage),
        "transfer_syntax_uid": str(ExplicitVRLittleEndian),
        "modality": "CT",
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "body_part": "CHEST",
        "kernel": "B31f",
        "rows": 512,
        "columns": 512,
        "position_mm": (-170.0, -180.0, 0.0),
        "orientation": AXIAL,
        "pixel_spacing_mm": (0.7, 0.7),
        "slice_thickness_mm": 2.0,
        "patient_key": "p",
    }
    return InstanceHeader(**{**chosen, **values})


def stack(number: int = 2, *, slices: int = 60, spacing_mm: float = 5.0, **values: Any) -> list[InstanceHeader]:
    """A series of parallel slices, `spacing_mm` apart along their normal."""
    uid = f"{STUDY}.{number}"
    a, b, c, d, e, f = values.get("orientation") or AXIAL
    normal = np.cross((a, b, c), (d, e, f))
    made = []
    for k in range(slices):
        x, y, z = (float(v) for v in np.array((-170.0, -180.0, 40.0)) + k * spacing_mm * normal)
        chosen = {"position_mm": (x, y, z), "series_uid": uid, "sop_uid": f"{uid}.{k + 1}", "series_number": number}
        made.append(image(**{"slice_thickness_mm": spacing_mm, **chosen, **values}))
    return made


def data_set(number: int = 1, *, series: int = 2, study: str = STUDY, **values: Any) -> Dataset:
    """A small CT image that any reader can read; `values` by DICOM keyword."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = f"{study}.{series}.{number}"
    ds.StudyDate = datetime.now(UTC).strftime("%Y%m%d")
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName = "Doe^Jane"
    ds.PatientID = "P1"
    ds.PatientBirthDate = "19500101"
    ds.StudyInstanceUID = study
    ds.SeriesInstanceUID = f"{study}.{series}"
    ds.InstanceNumber = number
    ds.ConvolutionKernel = "B31f"
    ds.SliceThickness = 5
    ds.ImagePositionPatient = [-170, -180, 5 * number]
    ds.ImageOrientationPatient = list(AXIAL)
    ds.PixelSpacing = [0.7, 0.7]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = 20, 31
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope = 0, 1
    ds.PixelData = np.full((20, 31), number, "<i2").tobytes()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def at(mono_s: float) -> Now:
    return Now(utc=datetime(2026, 3, 1, 12, tzinfo=UTC), mono_s=mono_s)


def config_for(folder: Path, extra: str = "", *, dicom: str = "", min_free_mb: int = 1) -> Config:
    """Settings with the port from the system, little wanted of the disk, and `extra` sections in TOML."""
    return parse(
        f'[dicom]\nport = 0\n{dicom}\n[storage]\npath = "{folder / "storage"}"\nmin_free_mb = {min_free_mb}\n{extra}'
    )


@dataclass
class Running:
    """A listener at work."""

    config: Config
    store: Store
    spool: Spool
    listener: Listener

    @property
    def port(self) -> int:
        return self.listener.port

    def leftovers(self) -> list[str]:
        return sorted(p.name for p in self.spool.temporary.iterdir())


@contextmanager
def listening(config: Config) -> Iterator[Running]:
    """A listener in this process, on a port from the system."""
    spool = Spool(config.spool, min_free_mb=config.storage.min_free_mb)
    with Store(config.database) as store, Listener(config, store, spool) as listener:
        yield Running(config, store, spool, listener)


@contextmanager
def associated(port: int, data_sets: Sequence[Dataset], *, called: str = "TRIAGED", calling: str = "CT1") -> Any:
    """An open association that can carry these data sets."""
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    for sop_class, syntax in sorted({(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in data_sets}):
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate("127.0.0.1", port, ae_title=called)
    assert association.is_established
    connection = association.dul.socket.socket
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
        connection.close()  # pynetdicom forgets to, where the other side was faster


def send(port: int, *data_sets: Dataset, **titles: str) -> list[int]:
    """Statuses of C-STORE, one association for all."""
    with associated(port, data_sets, **titles) as association:
        return [association.send_c_store(ds).Status for ds in data_sets]
