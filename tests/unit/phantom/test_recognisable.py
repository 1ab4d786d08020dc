"""The rules that find lungs and lesions on real scans find them on phantoms."""

from __future__ import annotations

import numpy as np
import pytest

from models.classical import hybrid_lungs
from models.thresholding import lesions
from training.phantom.case import Patient, Phantom, Rendered
from training.phantom.pathology import Pathology
from training.phantom.scanner import Scan
from training.phantom.study import SMALL


def _shown(right: float, left: float, seed: int, scan: Scan = SMALL) -> Rendered:
    return Patient(Phantom(seed=seed, pathology=Pathology(right=right, left=left))).scan(scan)


def _affected(shown: Rendered) -> float:
    """Thresholded lesion volume in the true lungs, as a fraction of them."""
    lung = shown.truth.right_lung | shown.truth.left_lung
    return float(lesions(shown.volume, lung).sum() / lung.sum())


@pytest.mark.parametrize("seed", [11, 12])
def test_classical_lungs_are_the_true_lungs_of_a_normal(seed: int) -> None:
    shown = _shown(0.0, 0.0, seed)
    found = hybrid_lungs(shown.volume.hu, shown.volume.spacing_mm, head_first=False)
    true = shown.truth.right_lung | shown.truth.left_lung
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.97


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_normal_is_at_most_two_percent_affected(seed: int) -> None:
    assert _affected(_shown(0.0, 0.0, seed)) <= 0.02


def test_thresholding_finds_more_where_there_is_more() -> None:
    measured = [_affected(_shown(f, f, 14)) for f in (0.0, 0.15, 0.4, 0.7)]
    assert measured == sorted(measured)
    assert measured[-1] - measured[1] > 0.3
    assert np.isclose(measured[-1], 0.7, atol=0.12)
