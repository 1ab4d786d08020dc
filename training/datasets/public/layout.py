"""Finding the folders of a data set, wherever its archives were unpacked."""

from __future__ import annotations

from pathlib import Path

from training.datasets.stored import DataError


def found(folder: Path, *names: str) -> Path | None:
    """The first of these folders that lies in `folder` or one level below."""
    for name in names:
        places = (folder / name, *(child / name for child in _children(folder)))
        for place in places:
            if place.is_dir():
                return place
    return None


def required(folder: Path, layout: str, *names: str) -> Path:
    """The same. Raises DataError, saying what the data set looks like."""
    place = found(folder, *names)
    if place is None:
        raise not_here(folder, layout)
    return place


def not_here(folder: Path, layout: str) -> DataError:
    there = "is no folder" if not folder.is_dir() else "does not hold this data set"
    return DataError(f"{folder} {there}. Unpack it so that there is: {layout}")


def files(folder: Path, pattern: str) -> list[Path]:
    """By name; without what archivers and file managers leave behind."""
    return sorted(p for p in folder.glob(pattern) if p.is_file() and not p.name.startswith("."))


def without_suffix(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".mhd")


def _children(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
