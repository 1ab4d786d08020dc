"""What a pipeline makes of the real studies beside the checkout: numbers only, nothing of the data."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from models.pipeline import Pipeline, Prediction
from models.reading import read_dicom_series, read_file
from models.refusal import NotAVolume
from models.severity import LEFT, RIGHT
from training.evaluate import Contender
from training.scores import dice, roc_auc

STUDIES = {
    "covid-P001": "covid-P001",
    "cap-001": "cap-001",
    "normal-001": "normal-001",
    "lungdx-A0001 L": "lungdx-A0001/series-2-L",
    "lungdx-A0001 B": "lungdx-A0001/series-3-B",
    "cip-ct64": "cip-ct64",
}
# Name, volume (None: the study of that name), marked lungs.
MARKED = (
    ("cip-ct64", None, "cip-ct64-lungs.nrrd"),
    ("imlab-id001", "imlab-id001.nii.gz", "imlab-id001-lungs.nii.gz"),
)
LABELLED = ("covid-P001", "cap-001")
LOBES = {RIGHT: ("RUL", "RML", "RLL"), LEFT: ("LUL", "LLL")}
THINNED, THIN_BY = "covid-P001", 3  # 2 mm to 6 mm


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One series or volume through one pipeline; nan where the models do not say."""

    refused: str = ""
    right_ml: float = float("nan")
    left_ml: float = float("nan")
    marked_dice: float = float("nan")
    marked_ml: float = float("nan")
    right_fraction: float = float("nan")
    left_fraction: float = float("nan")
    score: float = float("nan")
    seconds: float = float("nan")

    @property
    def fraction(self) -> float:
        return max(self.right_fraction, self.left_fraction)


@dataclass(frozen=True, kw_only=True)
class SliceAuc:
    """How well the lesion area per slice tells the slices that a radiologist marked. `right` and `left`: that of one
    lung against its own lobes; `crossed_*`: against the other lung's."""

    both: float
    right: float
    left: float
    crossed_right: float
    crossed_left: float


@dataclass(frozen=True, kw_only=True)
class Checked:
    """All that one pipeline says of the real data."""

    contender: Contender
    readings: Mapping[str, Reading]
    slices: Mapping[str, SliceAuc]
    thinned: tuple[float, ...]  # affected fraction, one for each slice that one may begin with
    thinned_scores: tuple[float, ...] = field(default=())


def check(data: Path, contender: Contender, device: str = "cpu", say: Callable[[str], None] | None = None) -> Checked:
    """Run everything. Raises UnknownModel or BundleError where the pipeline cannot be made."""
    pipeline = contender.pipeline(device)
    say = say or (lambda words: None)
    readings: dict[str, Reading] = {}
    slices: dict[str, SliceAuc] = {}
    marks = {name: (volume, mask) for name, volume, mask in MARKED}
    for name in dict.fromkeys([*STUDIES, *marks]):
        say(f"{contender.label}: {name}")
        volume, mask = marks.get(name, (None, None))
        paths = series(data, name) if volume is None else [data / "volumes" / volume]
        readings[name], found = _read(pipeline, paths, None if mask is None else data / "volumes" / mask)
        if name in LABELLED:
            slices[name] = slice_auc(found, slice_labels(data, name))
    say(f"{contender.label}: {THINNED}, thinned")
    files = series(data, THINNED)
    thin = [_read(pipeline, files[first::THIN_BY], None)[0] for first in range(THIN_BY)]
    return Checked(
        contender=contender,
        readings=readings,
        slices=slices,
        thinned=tuple(r.fraction for r in thin),
        thinned_scores=tuple(r.score for r in thin),
    )


def series(data: Path, name: str) -> list[Path]:
    """The files of a study's series, in the order of their names, which is from head to foot."""
    return sorted((data / "studies" / STUDIES[name]).glob("*.dcm"))


def _read(pipeline: Pipeline, paths: Sequence[Path], mask: Path | None) -> tuple[Reading, Prediction | None]:
    began = time.perf_counter()
    try:
        volume = read_dicom_series(paths) if paths[0].suffix == ".dcm" else read_file(paths[0])
        found = pipeline.run(volume)
    except NotAVolume as refusal:
        return Reading(refused=refusal.words), None
    seconds = time.perf_counter() - began
    marked = None if mask is None else read_file(mask).hu > 0
    severity, nan = found.severity, float("nan")
    reading = Reading(
        right_ml=found.extent.lung_ml_right,
        left_ml=found.extent.lung_ml_left,
        marked_dice=nan if marked is None else dice(found.labels > 0, marked),
        marked_ml=nan if marked is None else float(marked.sum()) * volume.voxel_ml,
        right_fraction=nan if severity is None else severity.fraction_right,
        left_fraction=nan if severity is None else severity.fraction_left,
        score=nan if found.probability is None else found.probability,
        seconds=seconds,
    )
    return reading, found


SliceLabels = Mapping[str, Mapping[str, bool]]  # SOP Instance UID -> column of labels.csv -> marked


def slice_labels(data: Path, name: str) -> SliceLabels:
    """The radiologist's marks of every slice of a study."""
    folder = data / "studies" / STUDIES[name]
    with (data / "studies" / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] == "slice" and row["study"] == name]
    columns = ("infection", *LOBES[RIGHT], *LOBES[LEFT])
    return {_sop_uid(folder / row["file"]): {column: row[column] == "1" for column in columns} for row in rows}


def _sop_uid(path: Path) -> str:
    return str(dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)


def slice_auc(found: Prediction | None, labels: SliceLabels) -> SliceAuc:
    """All nan where there are no lesions to count."""
    nan = float("nan")
    if found is None or found.lesions is None:
        return SliceAuc(both=nan, right=nan, left=nan, crossed_right=nan, crossed_left=nan)
    marks = [labels[sop_uid] for sop_uid, _ in found.volume.sources]
    marked = {side: np.array([any(m[lobe] for lobe in LOBES[side]) for m in marks]) for side in (RIGHT, LEFT)}
    area = {side: _per_slice(found.lesions & (found.labels == side)) for side in (RIGHT, LEFT)}
    return SliceAuc(
        both=roc_auc(area[RIGHT] + area[LEFT], np.array([m["infection"] for m in marks])),
        right=roc_auc(area[RIGHT], marked[RIGHT]),
        left=roc_auc(area[LEFT], marked[LEFT]),
        crossed_right=roc_auc(area[RIGHT], marked[LEFT]),
        crossed_left=roc_auc(area[LEFT], marked[RIGHT]),
    )


def _per_slice(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.count_nonzero(mask, axis=(1, 2)), np.float64)
