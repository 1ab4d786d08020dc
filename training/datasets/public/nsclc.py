"""NSCLC-Radiomics with the thoracic cavities of PleThora: CTs before radiotherapy; CT triage learns lungs from them.

PleThora's cavities hold effusion, tumour, atelectasis and the hila; effusion is taken off where PleThora drew it (78
patients, first reviewer), the hila stay. Its masks are stored in another order than the slices, so both headers lay one
upon the other. Whose lesions look like COVID-19's nobody marked: tumours and atelectases are no empty mask.
Of several studies of a patient the earliest is read; some series have uneven slices, and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.datasets.public.case import Case, DataSet, Image, Mask
from training.datasets.public.layout import files, found, required

LAYOUT = (
    "NSCLC-Radiomics/LUNG1-001/<study>/<series>/*.dcm, Thoracic_Cavities/LUNG1-001/*_primary_reviewer.nii.gz, "
    "Effusions/LUNG1-001/*_first_reviewer.nii.gz"
)
PATIENTS = 422


def cases(folder: Path) -> Iterator[Case]:
    patients = required(folder, LAYOUT, "NSCLC-Radiomics")
    cavities, effusions = found(folder, "Thoracic_Cavities"), found(folder, "Effusions")
    for home in sorted(patients.glob("LUNG1-*")):
        series = _series(home)
        lungs = _mask(cavities, home.name, "*_thor_cav_primary_reviewer.nii.gz")
        effusion = _mask(effusions, home.name, "*_effusion_first_reviewer.nii.gz")
        yield Case(
            id=home.name,
            patient=home.name,
            kind="other",
            image=Image(paths=tuple(series) or (home / "*.dcm",)),
            lungs=lungs,
            not_lungs=() if effusion is None else (effusion,),
            facts={"effusion": "no" if effusion is None else "yes"},
        )


def _series(patient: Path) -> list[Path]:
    """The CT of the earliest study: the series with most files, for contours and segmentations are one file each."""
    studies = sorted((p for p in patient.iterdir() if p.is_dir()), key=_date)
    for study in studies:
        series = max((files(p, "*.dcm") for p in study.iterdir() if p.is_dir()), key=len, default=[])
        if len(series) > 1:
            return series
    return []


def _date(study: Path) -> tuple[str, str]:
    """Studies are named for their day, month first: 09-18-2008-StudyID-NA-69331."""
    month, day, year = (*study.name.split("-"), "", "", "")[:3]
    return f"{year}{month}{day}", study.name


def _mask(folder: Path | None, patient: str, pattern: str) -> Mask | None:
    masks = files(folder / patient, pattern) if folder is not None else []
    return Mask(path=masks[0], known=None, by_place=True) if masks else None


DATA_SET = DataSet(
    name="nsclc",
    title="NSCLC-Radiomics with PleThora",
    url="https://doi.org/10.7937/K9/TCIA.2015.PF0M9REI and https://doi.org/10.7937/tcia.2020.6c7y-gq39",
    licence="NSCLC-Radiomics: CC BY-NC 3.0; PleThora: as TCIA states it",
    citation=(
        "Aerts et al., Nature Communications 5:4006, 2014; Kiser et al., PleThora: Pleural effusion and thoracic "
        "cavity segmentations in diseased lungs, Medical Physics 47:5941-5952, 2020"
    ),
    masks="thoracic cavities (402) less effusions (78); tumours are in; lesions: not annotated",
    classes=("other",),
    size="422 patients",
    layout=LAYOUT,
    cases=cases,
    expected=tuple(f"LUNG1-{n:03}" for n in range(1, PATIENTS + 1)),
)
