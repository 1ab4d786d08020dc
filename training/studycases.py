"""What a model that serves says of the cases of a study: measured once, and again where anything differs.

Every row is given the same lungs, found by one model in the whole volume; what is compared is what is made of them.
Time is that of the triage model alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.predict import LungMasks, TriagePredictor, resolve
from models.radiomic_triage import RadiomicTriage
from models.radiomics import of_volume
from models.volume import Volume
from models.volume_triage import MeasuredTriage
from training.cases import HeldOut
from training.judge import code
from training.measure import VERSION, Case, Measured, read_with, remaining
from training.studydata import CaseSet

Progress = Callable[[int, int], None]  # (done, of how many)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A case with the lungs that every row is given."""

    case: HeldOut
    lungs: LungMasks


class Judgement:
    """One set of cases, read with the lungs of one model; `keep` is the folder of everything that is measured.
    `surfaces`: with their distances (needs MONAI). `pictures`: of each case one slice. Raises UnknownModel,
    BundleError."""

    def __init__(
        self,
        cases: CaseSet,
        lungs: str,
        keep: Path,
        *,
        device: str = "cpu",
        surfaces: bool = True,
        pictures: bool = False,
    ) -> None:
        self.cases = cases
        self._keep, self._device, self._surfaces, self._pictures = keep, device, surfaces, pictures
        self._lungs = resolve(lungs, "lungs", device)
        card = self._lungs.card
        self._origin = f"{cases.digest} {card.name} {card.sha256} {code()} {VERSION} {device}"

    def everyone(self) -> list[Case]:
        """The cases without their volumes."""
        path = self._keep / self._digest("cases", str(self._pictures)) / "cases.json"
        if not path.is_file():
            cases = (self._one(number).case for number in range(len(self.cases)))
            _write(path, json.dumps([asdict(remaining(case)) for case in cases]))
        return [Case(**said) for said in json.loads(path.read_text(encoding="utf-8"))]

    def of(
        self, model: str, progress: Progress = lambda done, of: None, stop: Callable[[], bool] = lambda: False
    ) -> list[Measured] | None:
        """What the triage model of that name, or in that folder, makes of each; None where it was stopped before it had
        seen them all. Raises UnknownModel, BundleError."""
        predictor = resolve(model, "triage", self._device)
        card = predictor.card
        how = (str(self._surfaces), str(self._pictures))
        folder = self._keep / self._digest("measured", card.name, card.version, card.sha256, *how)
        found: list[Measured] = []
        for number in range(len(self.cases)):
            path = folder / f"{number:05}.json"
            if not path.is_file():
                if stop():
                    return None
                self._remember(predictor, number)
                _write(path, json.dumps(asdict(measured(predictor, self._one(number), surfaces=self._surfaces))))
            found.append(Measured(**json.loads(path.read_text(encoding="utf-8"))))
            progress(number + 1, len(self.cases))
        return found

    def _digest(self, *what: str) -> str:
        said = json.dumps([self._origin, *what])
        return f"{self.cases.name}-{what[0]}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"

    def _one(self, number: int) -> Seen:
        whole = self._whole(number)
        return picture(whole) if self._pictures else whole

    def _whole(self, number: int) -> Seen:
        """Drawn from its library and given its lungs once."""
        path = self._keep / self._digest("seen") / f"{number:05}.npz"
        seen = _read(path)
        if seen is None:
            case = self.cases[number]
            seen = Seen(case=case, lungs=self._lungs.lungs(case.volume))
            _keep(path, seen)
        return seen

    def _remember(self, predictor: TriagePredictor, number: int) -> None:
        """Radiomic features take far longer than what is made of them, and several rows ask for the same."""
        if not isinstance(predictor, MeasuredTriage | RadiomicTriage):
            return

        def known(volume: Volume, lungs: NDArray[np.bool_], grid_mm: float) -> Mapping[str, float]:
            path = self._keep / self._digest("features", f"{grid_mm:g}", str(self._pictures)) / f"{number:05}.json"
            if not path.is_file():
                _write(path, json.dumps(of_volume(volume, lungs, grid_mm)))
            features: Mapping[str, float] = json.loads(path.read_text(encoding="utf-8"))
            return features

        predictor.measure = known


def picture(seen: Seen) -> Seen:
    """The one slice that shows most of the lesions, or of the lungs where there are none."""
    case = seen.case
    assert case.labels is not None
    assert case.lesions is not None
    shown = case.lesions if case.lesions.any() else case.labels > 0
    first = int(shown.sum(axis=(1, 2)).argmax())
    one = slice(first, first + 1)
    affine_lps = case.volume.affine_lps.copy()
    affine_lps[:3, 3] += first * affine_lps[:3, 0]
    return Seen(
        case=replace(
            case,
            volume=Volume(hu=case.volume.hu[one], affine_lps=affine_lps),
            labels=case.labels[one],
            lesions=case.lesions[one],
        ),
        lungs=replace(seen.lungs, labels=seen.lungs.labels[one]),
    )


def measured(predictor: TriagePredictor, seen: Seen, *, surfaces: bool) -> Measured:
    """One case by one model."""
    return read_with(predictor, seen.case, seen.lungs, surfaces=surfaces)


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_text(text + "\n", encoding="utf-8")
    aside.replace(path)


def _keep(path: Path, seen: Seen) -> None:
    case = seen.case
    assert case.labels is not None
    assert case.lesions is not None
    words = {name: getattr(case, name) for name in ("name", "kind", "descriptors", "groups")}
    told = {"sides_by_size": seen.lungs.sides_by_size, "doubt": seen.lungs.doubt}
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new.npz")
    np.savez_compressed(
        aside,
        hu=case.volume.hu,
        affine_lps=case.volume.affine_lps,
        labels=case.labels,
        lesions=case.lesions,
        found=seen.lungs.labels,
        words=np.array(json.dumps([words, told])),
    )
    aside.replace(path)


def _read(path: Path) -> Seen | None:
    """None: not there, or not whole."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            words, told = json.loads(str(arrays["words"]))
            volume = Volume(hu=arrays["hu"], affine_lps=arrays["affine_lps"])
            case = HeldOut(volume=volume, labels=arrays["labels"], lesions=arrays["lesions"], **words)
            return Seen(case=case, lungs=LungMasks(labels=arrays["found"], **told))
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
