"""Mosmed Lung Cancer 500 (CT_LUNGCANCER_500): people over fifty with suspected nodules; CT triage is tested on those
without.

Files have no fixed names; what belongs together is what their headers call a series. A patient may have several.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.datasets.public.case import Case, DataSet, Image
from training.datasets.public.layout import files, required
from training.datasets.stored import DataError

LAYOUT = "dicom/<study>/ with the instances of its series under any name, protocols/<study>.json"
FEWEST = 10  # instances; a series of fewer is a localizer


def cases(folder: Path) -> Iterator[Case]:
    for study in sorted(p for p in required(folder, LAYOUT, "dicom").iterdir() if p.is_dir()):
        for number, (patient, series) in enumerate(_series(study)):
            yield Case(
                id=f"{study.name} {number}",
                patient=patient or study.name,
                kind="other",
                image=Image(paths=series),
            )


def _series(study: Path) -> list[tuple[str, tuple[Path, ...]]]:
    """Patient and instances of each series that can be a volume, by its UID."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    grouped: dict[str, list[Path]] = {}
    patients: dict[str, str] = {}
    for path in files(study, "**/*"):
        try:
            ds = dcmread(path, specific_tags=["SeriesInstanceUID", "PatientID"])
            uid = str(ds.SeriesInstanceUID)
        except (InvalidDicomError, AttributeError, OSError) as error:
            raise DataError(f"{study.name}/{path.name} is no DICOM instance: fetch it again or remove it") from error
        grouped.setdefault(uid, []).append(path)
        patients[uid] = str(ds.get("PatientID", ""))
    return [(patients[uid], tuple(grouped[uid])) for uid in sorted(grouped) if len(grouped[uid]) >= FEWEST]


DATA_SET = DataSet(
    name="cancer-500",
    title="Mosmed Lung Cancer 500",
    url="https://mosmed.ai/en/datasets/ct_lungcancer_500/",
    licence="as its publisher states it",
    citation="MosMedData CT_LUNGCANCER_500, Center for Diagnostics and Telemedicine, Moscow",
    masks="none (nodules are positions in protocols/)",
    classes=("other",),
    size="500 CTs, 979 series",
    layout=LAYOUT,
    shares={"test": 1.0},
    cases=cases,
    note="for testing only",
)
