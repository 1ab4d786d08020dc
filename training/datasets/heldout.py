"""Held-out phantoms: whole chests of the shifted generator, at native pixels, in a fixed mix of kinds.

Neither a kernel nor a texture of that generator is in the one that trains (`population.SHIFTED`), and neither is a
distance between slices: patients to train on have some 12 mm, the demonstration's studies 3 to 6 mm.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from models.volume import Volume
from training.cases import HeldOut, held_out, thickness_group
from training.phantom.batch import whole_chest
from training.phantom.case import Patient
from training.phantom.descriptors import descriptors
from training.phantom.library import VERSION
from training.phantom.population import SHIFTED, Drawn, Kind, draw

COUNT = 120
FIRST_SEED = 2_000_000  # far from what is trained on and chosen by
# Enough of each class for an interval: 40 against 40, and 40 against 25.
MIX = {
    Kind.COVID: 40,
    Kind.CAP: 25,
    Kind.NORMAL: 25,
    Kind.ATELECTASIS: 15,
    Kind.EFFUSION: 3,
    Kind.NODULES: 2,
    Kind.MASS: 2,
    Kind.FIBROSIS: 2,
    Kind.EMPHYSEMA: 2,
    Kind.COLLAPSE: 2,
    Kind.MOTION: 2,
}
APART = (Kind.COVID, Kind.CAP, Kind.NORMAL, Kind.ATELECTASIS)  # the rest is "other"
SPACINGS_MM = (3.5, 4.5, 5.5, 7.5)  # held out too; independent of the kind
WRITERS = (
    "demo.py",
    "dicom.py",
    "library.py",
    "sheet.py",
    "study.py",
)  # of the generator's files, those that draw nothing


def kind_of(number: int) -> Kind:
    """Each kind spread evenly over the numbers, so that fewer cases are the same mix."""
    return _order()[number % len(_order())]


@functools.cache
def _order() -> tuple[Kind, ...]:
    places = [((i + 0.5) / n, kind) for kind, n in MIX.items() for i in range(n)]
    return tuple(kind for _, kind in sorted(places, key=lambda place: place[0]))


@dataclass(frozen=True, kw_only=True)
class HeldOutPhantoms:
    """Cases by number, each the same for ever. `keep`: a folder for what has been drawn, some 10 MB a case."""

    count: int = COUNT
    first_seed: int = FIRST_SEED
    keep: Path | None = None
    pixels: int | None = None  # rows and columns; None: the generator's own, 352 or 416
    slice_mm: float | None = None  # None: one of SPACINGS_MM
    name: str = "phantom"
    synthetic: bool = True

    @property
    def description(self) -> str:
        return (
            f"{self.count} synthetic chests, generator {VERSION} {SHIFTED.name} (held out: kernels, textures, spacings "
            f"of {', '.join(f'{mm:g}' for mm in SPACINGS_MM)} mm), from seed {self.first_seed}"
        )

    def __len__(self) -> int:
        return self.count

    def origin(self, number: int) -> str:
        seed, kind, slice_mm = self._who(number)
        settings = {"seed": seed, "kind": kind.value, "slice_mm": slice_mm, "pixels": self.pixels}
        return json.dumps({**settings, "generator": _generator()}, sort_keys=True)

    def __getitem__(self, number: int) -> HeldOut:
        if self.keep is None:
            return self._drawn(number)
        # The name tells the origin: a case of another generator lies beside it.
        path = self.keep / f"{number:05}-{hashlib.sha256(self.origin(number).encode()).hexdigest()[:12]}.npz"
        case = _read(path)
        if case is None:
            case = self._drawn(number)
            _write(path, case)
        return case

    def _who(self, number: int) -> tuple[int, Kind, float]:
        if not 0 <= number < self.count:
            raise IndexError(f"case {number} of {self.count}")
        seed = self.first_seed + number
        spacing = float(np.random.default_rng([seed, len(SPACINGS_MM)]).choice(SPACINGS_MM))
        return seed, kind_of(number), self.slice_mm or spacing

    def _drawn(self, number: int) -> HeldOut:
        seed, kind, slice_mm = self._who(number)
        drawn = draw(seed, kind=kind, habits=SHIFTED)
        scan = whole_chest(drawn, slice_mm, self.pixels or drawn.scan.columns)
        shown = Patient(drawn.phantom).scan(scan)
        truth, volume = shown.truth, shown.volume
        lungs, lesions = truth.right_lung | truth.left_lung, truth.right_lesion | truth.left_lesion
        return held_out(
            f"{kind.value} {seed}",
            kind.value if kind in APART else "other",
            shown,
            descriptors(volume.hu, lungs, lesions, volume.spacing_mm),
            _groups(drawn, slice_mm),
        )


def _groups(drawn: Drawn, slice_mm: float) -> dict[str, str]:
    return {
        "kernel": drawn.scan.kernel.name,
        "slice thickness": thickness_group(drawn.scan.thickness_mm),
        "slice spacing": f"{slice_mm:g} mm",
    }


@functools.cache
def _generator() -> str:
    """Digest of the code that draws: its version number stands for meaning, this for every pixel."""
    files = sorted(path for path in (Path(__file__).parents[1] / "phantom").glob("*.py") if path.name not in WRITERS)
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _write(path: Path, case: HeldOut) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert case.labels is not None  # a phantom's truth is known
    assert case.lesions is not None
    words = {name: getattr(case, name) for name in ("name", "kind", "descriptors", "groups")}
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(
        temporary,
        hu=case.volume.hu,
        affine_lps=case.volume.affine_lps,
        labels=case.labels,
        lesions=case.lesions,
        words=np.array(json.dumps(words)),
    )
    temporary.replace(path)


def _read(path: Path) -> HeldOut | None:
    """None: not there, or not whole."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return HeldOut(
                volume=Volume(hu=arrays["hu"], affine_lps=arrays["affine_lps"]),
                labels=arrays["labels"],
                lesions=arrays["lesions"],
                **json.loads(str(arrays["words"])),
            )
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
