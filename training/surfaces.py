"""How far the surfaces of two masks lie apart, in mm, weighted by area (MODELS.md section 6).

MONAI's surfels: each corner where a mask begins or ends counts with the area of the surface through it, as voxels of
this spacing give it (Nikolov et al., arXiv:1809.04430).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAN = float("nan")
MISSING = "distances of surfaces need MONAI: pip install 'triaged[train]'"


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """`nsd_1mm`, `nsd_3mm`: share of both surfaces that lies within 1 or 3 mm of the other; `rmsd_mm`: root of the
    mean squared distance, nan where either mask is empty. Both empty: nothing was missed or invented, the shares are 1.
    """

    nsd_1mm: float
    nsd_3mm: float
    rmsd_mm: float


def is_available() -> bool:
    return find_spec("monai") is not None


def surfaces(found: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Surfaces:
    """Compare two masks (slice, row, column) of one grid. Raises ModuleNotFoundError without MONAI."""
    if not (found.any() and truth.any()):
        share = float(found.any() == truth.any())
        return Surfaces(nsd_1mm=share, nsd_3mm=share, rmsd_mm=NAN)
    import torch
    from monai.metrics.utils import get_mask_edges, get_surface_distance

    # With a spacing there are four: two maps of corners on a surface, and two of the areas there. (MONAI says two.)
    four: Any = get_mask_edges(torch.from_numpy(found), torch.from_numpy(truth), spacing=spacing_mm)
    mine, its, my_area, its_area = four
    ways: list[Any] = [get_surface_distance(a, b, "euclidean", spacing_mm) for a, b in ((mine, its), (its, mine))]
    mm = np.concatenate([way.numpy() for way in ways]).astype(np.float64)
    area = np.concatenate([my_area[mine].numpy(), its_area[its].numpy()]).astype(np.float64)
    total = area.sum()
    return Surfaces(
        nsd_1mm=float(area[mm <= 1.0].sum() / total),
        nsd_3mm=float(area[mm <= 3.0].sum() / total),
        rmsd_mm=float(np.sqrt((area * mm**2).sum() / total)),
    )
