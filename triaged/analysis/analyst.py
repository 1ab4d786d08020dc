"""One study's files -> outcome and artefacts. Knows no store: `triaged score` and the worker run this same code."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image

from models.frames import frames_of, hu_planes
from models.keyslices import key_slices
from models.pipeline import Identity, Pipeline, Prediction
from models.projection import UNLABELLED, Projection, project
from models.reading import NotAVolume, Refusal, read_dicom_series
from triaged import __version__, config
from triaged.analysis import quality
from triaged.analysis.calibration import SiteCalibration, read_calibration
from triaged.analysis.findings import findings_of
from triaged.artefacts import Artefacts, KeySlice
from triaged.errors import TriagedError
from triaged.intake.headers import read_headers
from triaged.intake.selection import Selection, may_be_chosen, names_agent, select
from triaged.masks import Masks
from triaged.records import Choice, Findings, InstanceHeader, ModelIdentity, Outcome, Provenance, Reason, StudyState
from triaged.results.picture import compose, png_of

KEY_SLICES = 3
FEW = 10  # images of a refused study whose pixels are looked at, to tell a short study from a broken one
THUMBNAIL_MM = 1.5
THUMBNAIL_PX = 192  # shown 64 px high; three times that for dense displays and for hover
BYTES_PER_VOXEL = 12  # HU, its resampled copy, labels, lesions and what the stages hold beside them: measured peak

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Examined:
    """What the files of a study say, before any pixel is read."""

    selection: Selection
    chosen: tuple[Path, ...]  # the files of the chosen series; none where nothing was chosen
    few: tuple[Path, ...]  # the CT images of a study that was refused and has no more than FEW
    contrast: bool
    unreadable: int
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysed:
    """An outcome, and for an analysed study what it leaves for the encoder and the board."""

    outcome: Outcome
    artefacts: Artefacts | None = None
    coronal: NDArray[np.uint8] | None = None


class Analyst:
    """Holds the loaded models of one device and works on one study at a time."""

    def __init__(self, settings: config.Analysis, device: str, findings_digest: str) -> None:
        if settings.threads:
            SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(settings.threads)  # type: ignore[no-untyped-call]
            os.environ["OMP_NUM_THREADS"] = str(settings.threads)  # read by torch, where a bundle brings it in
        self._settings = settings
        self._device = device
        self._digest = findings_digest
        self._pipeline = Pipeline(lungs=settings.lungs, triage=settings.triage, device=device)
        self._calibration = read_calibration(settings.calibration, self._pipeline.triage_card)
        self.identities = self._named(self._pipeline.identities)

    def _named(self, identities: Iterable[Identity]) -> tuple[ModelIdentity, ...]:
        return tuple(
            ModelIdentity(
                role=i.role,
                name=i.name,
                version=i.version,
                sha256=i.sha256,
                synthetic=i.synthetic,
                parameters=_parameters(i, self._calibration),
            )
            for i in identities
        )

    @property
    def _most_voxels(self) -> int:
        return self._settings.max_volume_mb * 2**20 // BYTES_PER_VOXEL

    @property
    def is_synthetic(self) -> bool:
        """Whether some model was trained on synthetic data."""
        return any(identity.synthetic for identity in self.identities)

    def examine(self, files: Iterable[Path], versions: Iterable[Path] = ()) -> Examined:
        """Read every header and choose the series. `versions`: other contents that came under the same UIDs."""
        began = time.perf_counter()
        headers: list[InstanceHeader] = []
        paths: dict[str, Path] = {}
        unreadable = 0
        for path in files:
            try:
                _, header = read_headers(path)
            except TriagedError:
                unreadable += 1
                continue
            headers.append(header)
            paths[header.sop_uid] = path
        selection = select(headers, [header for _, header in map(read_headers, versions)])
        sop_uids = set(selection.ranked[0].sop_uids) if selection.choice is not None else set()
        images = [paths[h.sop_uid] for h in headers if may_be_chosen(h.sop_class_uid)]
        is_short = selection.reason_code in {Reason.TOO_FEW_SLICES, Reason.NO_AXIAL_CT} and len(images) <= FEW
        return Examined(
            selection=selection,
            chosen=tuple(paths[uid] for uid in sorted(sop_uids)),
            few=tuple(images) if is_short else (),
            contrast=any(names_agent(h) for h in headers if h.sop_uid in sop_uids),
            unreadable=unreadable,
            seconds=time.perf_counter() - began,
        )

    def analyse(
        self, examined: Examined, *, partial: bool = False, revision: int = 1, progress: Progress | None = None
    ) -> Analysed:
        """Run the pipeline on the chosen series. What cannot be analysed comes back as an outcome, with its reason."""
        selection = examined.selection
        if selection.choice is None:
            broken = _first_undecodable(examined.few, self._most_voxels)
            if broken is not None:
                return Analysed(outcome=_refused(Reason(broken.code), broken.words, None))
            return Analysed(outcome=_refused(selection.reason_code, selection.reason, None))
        try:
            prediction, seconds = self._predict(examined, progress)
        except NotAVolume as refusal:
            return Analysed(outcome=_refused(Reason(refusal.code), refusal.words, selection.choice))
        verdict = quality.judge(prediction, partial=partial, lossy=prediction.volume.lossy, contrast=examined.contrast)
        if verdict.reason_code is not None:
            return Analysed(outcome=_refused(verdict.reason_code, verdict.words, selection.choice))
        drawn = time.perf_counter()
        seen = project(prediction.volume, prediction.labels, prediction.lesions)
        made_by = Provenance(
            models=self._named(prediction.identities),
            triaged_version=__version__,
            device=self._device,
            config_digest=self._digest,
            seconds=seconds,
        )
        found = findings_of(prediction, verdict.flags, made_by, self._calibration, verdict.remarks)
        view = seen.view().rgb
        left = _draw(prediction, found, selection.choice, seen, view, revision)
        seconds = {**seconds, "picture": round(time.perf_counter() - drawn, 3)}
        found = replace(found, provenance=replace(made_by, seconds=seconds))
        outcome = Outcome(state=StudyState.ANALYSED, choice=selection.choice, findings=found)
        return Analysed(outcome=outcome, artefacts=left, coronal=view)

    def _predict(self, examined: Examined, progress: Progress | None) -> tuple[Prediction, dict[str, float]]:
        if progress is not None:
            progress("read")
        began = time.perf_counter()
        volume = read_dicom_series(examined.chosen, max_voxels=self._most_voxels)
        read_s = time.perf_counter() - began
        prediction = self._pipeline.run(volume, progress)
        return prediction, {"select": round(examined.seconds, 3), "read": round(read_s, 3), **prediction.seconds}


def _parameters(model: Identity, calibration: SiteCalibration | None) -> str:
    """What a report says of a model's settings; the calibration is one of the triage model's."""
    said = [model.parameters, calibration.words if calibration is not None and model.role == "triage" else ""]
    return ", ".join(part for part in said if part)


def _first_undecodable(paths: Iterable[Path], most_voxels: int) -> NotAVolume | None:
    """What is wrong with the pixels of a study too short to be analysed: it may be why it is too short.

    An object of more than `most_voxels` is not looked at: its headers have said enough, and it would not fit.
    """
    for path in paths:
        try:
            frames = frames_of(path)
            if sum(frame.rows * frame.columns for frame in frames) > most_voxels:
                continue
            for _ in hu_planes(frames):
                pass
        except NotAVolume as refusal:
            if refusal.code in {Refusal.UNREADABLE, Refusal.SYNTAX}:
                return refusal
    return None


def _refused(code: Reason | None, words: str, choice: Choice | None) -> Outcome:
    return Outcome(state=StudyState.NOT_ANALYSED, reason_code=code, reason=words, choice=choice)


def _draw(
    prediction: Prediction,
    found: Findings,
    choice: Choice,
    seen: Projection,
    view: NDArray[np.uint8],
    revision: int,
) -> Artefacts:
    page = compose(view, found, choice, revision=revision)
    keys = [] if prediction.lesions is None else _key_slices(prediction, prediction.lesions)
    return Artefacts(
        masks=Masks(lungs=prediction.labels, lesions=prediction.lesions, sources=prediction.volume.sources),
        coronal_png=png_of(view),
        picture_png=png_of(page),
        thumbnail_png=_thumbnail(seen),
        key_slices=keys,
    )


def _key_slices(prediction: Prediction, lesions: NDArray[np.bool_]) -> list[tuple[KeySlice, bytes]]:
    drawn = []
    for number, key in enumerate(key_slices(prediction.volume, prediction.labels, lesions, n=KEY_SLICES), 1):
        lung = prediction.labels[key.index] > 0
        described = KeySlice(
            file=f"key-{number}.png",
            sop_uid=key.source[0] if key.source else "",
            slice_index=key.index,
            affected_fraction=float(lesions[key.index][lung].mean()),
        )
        drawn.append((described, png_of(key.rgb)))
    return drawn


def _thumbnail(seen: Projection) -> bytes:
    """The view without margins and bar, which would be unreadable so small; hence without the bar's colours too."""
    view = seen.view(pixel_mm=THUMBNAIL_MM, overlay=UNLABELLED)
    image = Image.fromarray(np.ascontiguousarray(view.rgb[slice(*view.rows), slice(*view.columns)]))
    image.thumbnail((4 * THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
