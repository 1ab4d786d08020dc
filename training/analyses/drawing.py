"""What the figures have in common: no pyplot, so nothing is kept and no window system asked for; two files of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.errors import TrainingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#4477aa", "#ee9944", "#aa3355", "#228866")  # told apart in grey and by the colour-blind
DPI = 200
WINDOW_HU = (-1350.0, 150.0)  # of the pictures: the usual lung window
KINDS = ("pdf", "png")


def figure(width: float, height: float) -> Figure:
    """Inches. Raises TrainingError without Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TrainingError("Matplotlib is not installed: pip install 'triaged[train]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """The figure as PDF, with letters as letters, and as PNG. Equal figures give equal files."""
    from matplotlib import rc_context

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.{kind}" for kind in KINDS]
    with rc_context({"pdf.fonttype": 42}):
        for path in paths:
            figure.savefig(path, dpi=DPI, metadata={"CreationDate": None} if path.suffix == ".pdf" else {})
    return paths


def save_numbers(numbers: Mapping[str, Any], folder: Path, stem: str) -> Path:
    """The numbers behind a figure as JSON; what could not be computed is null."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(plain(numbers), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def plain(value: Any) -> Any:
    """Arrays and NumPy's numbers as JSON knows them."""
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Sequence):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def lettered(axes: Sequence[Axes]) -> None:
    """(a), (b), ... above the panels."""
    for number, one in enumerate(axes):
        one.set_title(f"({chr(ord('a') + number)})", loc="left", fontsize=9, fontweight="bold")
