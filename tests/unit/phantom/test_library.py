"""A library is drawn once, resumed, and read back as it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.volume import PADDING_HU
from training.datasets.stored import StoredLibrary
from training.phantom.library import Plan, generate, reduced, scanned
from training.phantom.population import SHIFTED, Kind

PLAN = Plan(count=2, first_seed=7, slices=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("library")
    generate(found, PLAN, workers=1)
    return found


def test_patients_lie_on_the_networks_grid_with_their_truth(folder: Path) -> None:
    library = StoredLibrary(folder)
    drawn, shown = scanned(PLAN, 0)
    patient, expected = library[0], reduced(shown)
    assert library.kinds[0] == drawn.label.value
    assert patient.hu.dtype == np.int16
    assert patient.hu.shape == patient.lungs.shape == patient.lesions.shape
    assert patient.spacing_mm[1:] == pytest.approx((2.0, 2.0), abs=0.02)
    assert patient.spacing_mm[0] == pytest.approx(drawn.scan.slice_mm)
    assert np.array_equal(patient.hu, expected.hu)
    assert np.array_equal(patient.lungs, expected.lungs)
    assert not (patient.lesions & ~patient.lungs).any()
    voxel_ml = float(np.prod(patient.spacing_mm)) / 1000.0
    assert patient.lungs.sum() * voxel_ml == pytest.approx(shown.truth.right_ml + shown.truth.left_ml, rel=0.02)
    assert patient.hu.min() >= PADDING_HU


def test_index_says_what_was_drawn(folder: Path) -> None:
    entries = json.loads((folder / "index.json").read_text())["patients"]
    for number, entry in enumerate(entries):
        drawn, _ = scanned(PLAN, number)
        assert (entry["kind"], entry["drawn"]) == (drawn.label.value, drawn.kind.value)
        assert entry["origin"]["seed"] == 7 + number
        assert set(entry["descriptors"]) >= {"count", "ratio", "dense", "pleural"}


def test_what_is_there_is_not_drawn_again(folder: Path, tmp_path: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.npz")}
    seen: list[int] = []
    again = generate(folder, PLAN, workers=1, drawn=seen.append)
    assert {p.name: p.stat().st_mtime_ns for p in folder.glob("*.npz")} == before
    assert seen == [0, 1]
    assert again.digest == StoredLibrary(folder).digest
    fresh = generate(tmp_path, PLAN, workers=1)
    assert np.array_equal(fresh[1].hu, again[1].hu)


def test_another_plan_is_drawn_anew(tmp_path: Path) -> None:
    generate(tmp_path, Plan(count=1, slices=3, kind=Kind.NORMAL), workers=1)
    first = StoredLibrary(tmp_path)[0].hu
    other = generate(tmp_path, Plan(count=1, slices=3, kind=Kind.NORMAL, habits=SHIFTED), workers=1)
    assert other[0].hu.shape != first.shape or not np.array_equal(other[0].hu, first)


def test_processes_draw_what_one_alone_draws(folder: Path, tmp_path: Path) -> None:
    assert generate(tmp_path, PLAN, workers=2)[1].hu.tobytes() == StoredLibrary(folder)[1].hu.tobytes()
