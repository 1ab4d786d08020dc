"""A researcher's own folder: NIfTI, MetaImage or DICOM, and cases.csv that says what they are.

One row per scan. `image`: a volume file, a folder with the instances of one DICOM series, a PNG or JPEG. `kind`: covid,
cap, normal or other. Where there are such columns: `id`, what the scan is called in messages and in the library, else
as its file, whose name had better not be the patient's; `patient`, without which every scan is taken for a patient of
its own; `lungs` and `lesions`, mask files that lie where the image lies by their headers, all but 0 inside, `lesions`
empty where nobody looked and the word none where somebody looked and there are none; `split`: train, validation or
test. Every other column is a fact for sub-groups. Paths are relative to the folder.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from training.datasets.public.case import HU, LUNGS, MM, Case, DataSet, Image, Mask
from training.datasets.public.files import PICTURES
from training.datasets.public.layout import files
from training.datasets.public.split import PARTS
from training.datasets.stored import DataError

TABLE = "cases.csv"
NEEDED, OPTIONAL = ("image", "kind"), ("id", "patient", "lungs", "lesions", "split")
NONE = "none"
GREY_HU = (-1350.0, 150.0)  # the usual lung window
LAYOUT = f"{TABLE} with the columns {', '.join(NEEDED)} and, where known, {', '.join(OPTIONAL)}; the files it names"


def cases(folder: Path) -> Iterator[Case]:
    try:
        with (folder / TABLE).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{folder / TABLE} lacks the column {', '.join(missing)}. Expected: {LAYOUT}")
            for row in reader:
                yield _case(folder, {str(k): str(v or "").strip() for k, v in row.items()}, reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{folder / TABLE} cannot be read ({type(error).__name__}). Expected: {LAYOUT}") from error


def _case(folder: Path, row: Mapping[str, str], line: int) -> Case:
    if not row["image"]:
        raise DataError(f"{folder / TABLE}, line {line}: no image; name a file or a folder of DICOM instances")
    if row.get("split") and row["split"] not in PARTS:
        raise DataError(f"{folder / TABLE}, line {line}: split is none of {', '.join(PARTS)}")
    path = folder / row["image"]
    picture = path.suffix.lower() in PICTURES
    name = row.get("id") or row["image"]
    lesions = row.get("lesions", "")
    return Case(
        id=name,
        patient=row.get("patient") or name,
        kind=row["kind"],
        image=Image(
            paths=(tuple(files(path, "*")) if path.is_dir() else ()) or (path,),
            grey_hu=GREY_HU if picture else None,
        ),
        lungs=_mask(folder, row.get("lungs", "")),
        lesions=None if lesions == NONE else _mask(folder, lesions),
        without_lesions=lesions == NONE,
        split=row.get("split") or None,
        unknown=frozenset({MM, HU, LUNGS}) if picture else frozenset(),
        facts={k: v for k, v in row.items() if v and k not in (*NEEDED, *OPTIONAL)},
    )


def _mask(folder: Path, name: str) -> Mask | None:
    return Mask(path=folder / name, known=None, by_place=True) if name else None


DATA_SET = DataSet(
    name="own",
    title="Own folder",
    url="",
    licence="yours",
    citation="",
    masks="lungs and lesions: every number but 0; see the convention in training/datasets/public/case.py",
    classes=("covid", "cap", "normal", "other"),
    size="",
    layout=LAYOUT,
    cases=cases,
)
