"""Whole studies: one patient, several series, written as DICOM, with the truth beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from models.volume import Volume
from training.phantom.case import Patient, Phantom, Truth
from training.phantom.dicom import (
    LUNG_WINDOW,
    SOFT_WINDOW,
    SeriesInfo,
    StudyInfo,
    Syntax,
    WrittenSeries,
    uid_for,
    write_series,
)
from training.phantom.pathology import Pathology
from training.phantom.scanner import SHARP, SOFT, Kernel, Scan

FIRST_NUMBER = 2  # scanners give 1 to the localizer
FIRST_SERIES = f"series-{FIRST_NUMBER}"  # its folder
SMALL = Scan(
    slices=32,
    rows=112,
    columns=128,
    slice_mm=7.75,
    thickness_mm=5.0,
    pixel_mm=(3.0, 3.0),
    centre_lps_mm=(0.0, 10.0, -7.0),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a study is written. The first of `scans` is the one whose truth is reported."""

    scans: tuple[Scan, ...] = (Scan(),)
    localizer: bool = False
    coronal: bool = False
    syntax: Syntax = Syntax.EXPLICIT
    patient_position: str = "HFS"


@dataclass(frozen=True, kw_only=True, eq=False)
class WrittenStudy:
    """A study on disk. `truth` and `volume` belong to `series[0]`, slice by slice; nothing else is in `folder`."""

    study_uid: str
    folder: Path
    series: tuple[WrittenSeries, ...]
    volume: Volume
    truth: Truth

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(p for s in self.series for p in s.paths)


@dataclass
class _Writer:
    """Numbers the series of one study as they are written."""

    folder: Path
    info: StudyInfo
    options: Options
    written: list[WrittenSeries] = field(default_factory=list)

    def add(self, volume: Volume, *, frame: str = "main", **values: object) -> None:
        number = len(self.written) + FIRST_NUMBER
        series = SeriesInfo(
            series_uid=uid_for(self.info.study_uid, "series", number),
            frame_of_reference_uid=uid_for(self.info.study_uid, "frame", frame),
            number=number,
            patient_position=self.options.patient_position,
            syntax=self.options.syntax,
            **values,  # type: ignore[arg-type]
        )
        self.written.append(write_series(volume, self.folder / f"series-{number}", self.info, series))


def write_study(
    phantom: Phantom, folder: Path, *, info: StudyInfo | None = None, options: Options | None = None
) -> WrittenStudy:
    """Scan a phantom and write its study below `folder`. Without `info` the UIDs follow from the phantom's seed."""
    info = info or StudyInfo(study_uid=uid_for("study", phantom.seed))
    options = options or Options()
    patient = Patient(phantom)
    writer = _Writer(folder, info, options)
    rendered = [patient.scan(scan) for scan in options.scans]
    for scan, shown in zip(options.scans, rendered, strict=True):
        _add_axial(writer, scan, shown.volume)
    first = rendered[0]
    if options.localizer:
        writer.add(
            frontal_view(first.volume),
            frame="localizer",
            description="Topogram",
            image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"),
            kernel="T80s",
            thickness_mm=0.6,
        )
    if options.coronal:
        writer.add(
            coronal_reformat(first.volume, step_mm=5.0),
            description="Coronal 5.0",
            image_type=("DERIVED", "SECONDARY", "AXIAL", "MPR"),
            kernel=options.scans[0].kernel.name,
        )
    return WrittenStudy(
        study_uid=info.study_uid,
        folder=folder,
        series=tuple(writer.written),
        volume=first.volume,
        truth=first.truth,
    )


def small_study(
    folder: Path,
    *,
    seed: int = 1,
    right: float = 0.0,
    left: float = 0.0,
    phantom: Phantom | None = None,
    info: StudyInfo | None = None,
    options: Options | None = None,
) -> WrittenStudy:
    """A chest small enough to make in a moment: 32 slices of 112 x 128, 7.75 x 3 x 3 mm."""
    phantom = phantom or Phantom(seed=seed, pathology=Pathology(right=right, left=left))
    return write_study(phantom, folder, info=info, options=options or Options(scans=(SMALL,)))


def frontal_view(volume: Volume) -> Volume:
    """A localizer: the mean from front to back of an axial volume, head up, as one image."""
    slice_mm, _, column_mm = volume.spacing_mm
    seen = ndimage.zoom(volume.hu.mean(axis=1)[::-1], (slice_mm / column_mm, 1.0), order=1)
    affine = volume.affine_lps.copy()
    top = affine[:3, 3] + affine[:3, 0] * (volume.shape[0] - 1)
    down = -affine[:3, 0] / slice_mm
    affine[:3, 0], affine[:3, 1] = affine[:3, 1], down * column_mm
    affine[:3, 3] = top + 0.5 * volume.shape[1] * volume.affine_lps[:3, 1]  # the plane amid the patient
    return Volume(hu=np.rint(seen)[None].astype(np.int16), affine_lps=affine)


def coronal_reformat(volume: Volume, *, step_mm: float) -> Volume:
    """Coronal images cut from an axial volume, head up, front to back, with square pixels."""
    slice_mm, row_mm, column_mm = volume.spacing_mm
    step = max(1, round(step_mm / row_mm))
    cut = volume.hu[::-1, ::step].transpose(1, 0, 2)  # (front to back, head to foot, right to left)
    fine = ndimage.zoom(cut, (1.0, slice_mm / column_mm, 1.0), order=1)
    affine = volume.affine_lps.copy()
    affine[:3, 3] += affine[:3, 0] * (volume.shape[0] - 1)
    affine[:3, 0], affine[:3, 1] = affine[:3, 1] * step, -affine[:3, 0] / slice_mm * column_mm
    return Volume(hu=fine.astype(np.int16), affine_lps=affine)


def _add_axial(writer: _Writer, scan: Scan, volume: Volume) -> None:
    lung = scan.kernel.is_sharp
    writer.add(
        volume,
        description=f"{writer.info.body_part.capitalize()} {scan.thickness_mm:.1f} {scan.kernel.name}",
        kernel=scan.kernel.name,
        thickness_mm=scan.thickness_mm,
        window=LUNG_WINDOW if lung else SOFT_WINDOW,
        padding=scan.circle and scan.padding_declared,
    )


__all__ = ["SHARP", "SMALL", "SOFT", "Kernel", "Options", "WrittenStudy", "small_study", "write_study"]
