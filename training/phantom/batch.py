"""Studies of the population as a scanner would send them: DICOM, if wanted NIfTI, and the truth beside them."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from models.volume import Volume
from training.phantom.case import Truth
from training.phantom.descriptors import descriptors
from training.phantom.dicom import StudyInfo, uid_for
from training.phantom.population import Drawn, Kind, draw
from training.phantom.scanner import Kernel, Scan
from training.phantom.sheet import sheet_of
from training.phantom.study import FIRST_SERIES, Options, WrittenStudy, write_study

# Mixed, each kind early: eight cases show what there is.
MIX = (
    Kind.COVID,
    Kind.NORMAL,
    Kind.CAP,
    Kind.EFFUSION,
    Kind.COVID,
    Kind.EMPHYSEMA,
    Kind.MASS,
    Kind.ATELECTASIS,
    Kind.COVID,
    Kind.FIBROSIS,
    Kind.CAP,
    Kind.NODULES,
    Kind.NORMAL,
    Kind.COLLAPSE,
    Kind.MOTION,
)
PIXELS = 512
SPACINGS_MM = (3.0, 4.0, 5.0, 6.0)
ABOVE_MM, BELOW_MM = 124.0, 152.0  # of mid-chest, for a patient of middle height
BETWEEN = timedelta(minutes=13)
WORKERS = 2
LUNG_KERNEL = Kernel(name="B60f", psf_mm=0.5, noise_hu=30.0, overshoot=0.5, band_px=(0.55, 1.5))
TRUTH, SHEET = "truth.json", "sheet.png"


@dataclass(frozen=True, kw_only=True)
class WrittenCase:
    """One study on disk with what is known about it; `folder` is relative to where the cases were written."""

    folder: str
    study_uid: str
    label: str
    kind: str
    files: int
    right_ml: float
    left_ml: float
    right_fraction: float
    left_fraction: float
    descriptors: dict[str, float]


def write_cases(
    folder: Path, count: int, *, seed: int = 1, nifti: bool = False, size: int = PIXELS, workers: int = WORKERS
) -> Iterator[WrittenCase]:
    """Write `count` studies of mixed kinds below `folder`, one folder each, and say what each is as it is done.

    sheet.png, some slices of each, and truth.json come last. Equal seeds give equal UIDs and pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = datetime.now()
    jobs = [(folder, n, seed, nifti, size, last - BETWEEN * (count - 1 - n)) for n in range(count)]
    written = []
    if workers <= 1:
        for job in jobs:
            written.append(_case(*job))
            yield written[-1]
    else:
        # Spawned, not forked: the caller may have threads.
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            for case in pool.map(_case, *zip(*jobs, strict=True)):
                written.append(case)
                yield case
    first_series = [(f"{case.folder} {case.kind}", folder / case.folder / FIRST_SERIES) for case in written]
    (folder / SHEET).write_bytes(sheet_of(first_series))
    text = json.dumps([asdict(case) for case in written], indent=1)
    (folder / TRUTH).write_text(text + "\n", encoding="utf-8")


def _case(folder: Path, number: int, seed: int, nifti: bool, size: int, acquired_at: datetime) -> WrittenCase:
    drawn = draw(1000 * seed + number, kind=MIX[number % len(MIX)])
    rng = np.random.default_rng([seed, number])
    name = f"{number + 1:04d}"
    info = StudyInfo(
        study_uid=uid_for("phantom", seed, number),
        patient_name=f"Phantom^{name}",
        patient_id=f"PHANTOM-{name}",
        patient_birth_date=f"{int(rng.integers(1930, 2002))}{1 + number % 12:02d}{1 + number % 28:02d}",
        patient_sex="F" if drawn.phantom.body is not None and drawn.phantom.body.breasts_mm > 0 else "M",
        accession_number=f"P{seed:03d}{number + 1:05d}",
        study_id=str(number + 1),
        acquired_at=acquired_at,
    )
    study = write_study(drawn.phantom, folder / name, info=info, options=_options(drawn, rng, size))
    truth = study.truth
    if nifti:
        _nifti(study, folder / "nifti" / name)
    return WrittenCase(
        folder=name,
        study_uid=study.study_uid,
        label=drawn.label.value,
        kind=drawn.kind.value,
        files=len(study.paths),
        right_ml=round(truth.right_ml, 1),
        left_ml=round(truth.left_ml, 1),
        right_fraction=round(truth.right_fraction, 4),
        left_fraction=round(truth.left_fraction, 4),
        descriptors=_described(study.volume, truth),
    )


def _options(drawn: Drawn, rng: np.random.Generator, size: int) -> Options:
    """A whole chest in one series or two kernels, now and then with a localizer and coronal images."""
    scan = whole_chest(drawn, float(rng.choice(SPACINGS_MM)), size)
    scans: tuple[Scan, ...] = (scan,)
    if rng.random() < 0.3 and not scan.kernel.is_sharp:
        scans = (scan, replace(scan, kernel=LUNG_KERNEL, thickness_mm=min(scan.thickness_mm, 2.0)))
    return Options(scans=scans, localizer=bool(rng.random() < 0.6), coronal=bool(rng.random() < 0.25))


def whole_chest(drawn: Drawn, slice_mm: float, size: int = PIXELS) -> Scan:
    """The patient's scan from the shoulders to below the lungs with evenly spaced slices and `size` squared pixels."""
    tall = drawn.phantom.body.scale[2] if drawn.phantom.body else 1.0
    count = round((ABOVE_MM + BELOW_MM) * tall / slice_mm)
    pixel = drawn.scan.pixel_mm[0] * drawn.scan.columns / size
    x, y, _ = drawn.scan.centre_lps_mm
    return replace(
        drawn.scan,
        slices=count,
        rows=size,
        columns=size,
        pixel_mm=(pixel, pixel),
        slice_mm=slice_mm,
        centre_lps_mm=(x, y, (ABOVE_MM - BELOW_MM) / 2 * tall),
    )


def _described(volume: Volume, truth: Truth) -> dict[str, float]:
    lungs, lesions = truth.right_lung | truth.left_lung, truth.right_lesion | truth.left_lesion
    return {key: round(v, 4) for key, v in descriptors(volume.hu, lungs, lesions, volume.spacing_mm).items()}


def _nifti(study: WrittenStudy, folder: Path) -> None:
    """ct.nii.gz, lungs.nii.gz (1 right, 2 left) and lesions.nii.gz of the first series."""
    folder.mkdir(parents=True, exist_ok=True)
    truth, affine = study.truth, study.volume.affine_lps
    lungs = truth.right_lung.astype(np.uint8) + 2 * truth.left_lung.astype(np.uint8)
    lesions = (truth.right_lesion | truth.left_lesion).astype(np.uint8)
    for name, array in (("ct", study.volume.hu), ("lungs", lungs), ("lesions", lesions)):
        nib.save(_image(array, affine), folder / f"{name}.nii.gz")


def _image(array: NDArray[np.generic], affine_lps: NDArray[np.float64]) -> nib.Nifti1Image:
    """(slice, row, column) in LPS as NIfTI wants it: (column, row, slice) in RAS."""
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_lps[:, [2, 1, 0, 3]]
    return nib.Nifti1Image(np.ascontiguousarray(array.transpose(2, 1, 0)), ras)  # type: ignore[no-untyped-call]


__all__ = ["MIX", "WrittenCase", "whole_chest", "write_cases"]
