"""Findings of lesions against bodies that were drawn, whose count, size, density and place are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.small_patients import patient
from training.analyses import lesion_figure, lesions
from training.analyses.drawing import plain
from training.analyses.lesions import AXES, HU_EDGES, SIGMAS_MM, Mask, Scan, measure
from training.datasets.stored import INDEX, DataError, store

SPACING = (5.0, 2.0, 1.0)  # of (slice, row, column)
SHAPE = (30, 80, 200)  # 150 x 160 x 200 mm


def ball(centre_mm: tuple[float, float, float], radius_mm: float) -> Mask:
    """In mm of (slice, row, column)."""
    at = np.indices(SHAPE) * np.array(SPACING)[:, None, None, None]
    return np.asarray(((at - np.array(centre_mm)[:, None, None, None]) ** 2).sum(axis=0) <= radius_mm**2)


def scan(mask: Mask, hu: int | np.ndarray[tuple[int, ...], np.dtype[np.int16]] = -700, kind: str = "covid") -> Scan:
    values = np.full(SHAPE, hu, np.int16) if isinstance(hu, int) else hu
    return measure(kind, values, np.ones(SHAPE, np.bool_), mask, SPACING)


def test_a_drawn_ball_has_its_volume_size_and_place() -> None:
    found = scan(ball((75.0, 60.0, 120.0), 25.0))
    assert found.count == 1
    assert found.lesion_ml == pytest.approx(4 / 3 * np.pi * 2.5**3, rel=0.03)
    assert found.lvr == pytest.approx(found.lesion_ml / (150 * 160 * 200 / 1000))
    width, length, height = found.sizes_mm[0]
    assert (width, length, height) == (51.0, 50.0, 55.0), "voxels from edge to edge"
    assert found.centres_mm[0] == pytest.approx((120.5, 61.0, 77.5)), "of the box, whose first voxel begins at 0"
    assert found.spread_mm == 0.0


def test_lesions_are_counted_across_corners_and_crumbs_are_not() -> None:
    mask = np.zeros(SHAPE, np.bool_)
    mask[5:8, 10:13, 20:23] = True
    mask[8:11, 13:16, 23:26] = True  # touches the first at a corner
    mask[20:23, 60:63, 150:153] = True
    mask[25, 70, 100:109] = True  # nine voxels
    found = scan(mask)
    assert found.count == 2
    assert found.lesion_ml == pytest.approx(3 * 27 * 0.01)
    apart = np.diff(found.centres_mm, axis=0)[0] / 2
    assert found.spread_mm == pytest.approx(np.sqrt((apart**2).sum()))


def test_density_is_the_share_of_volume() -> None:
    mask = ball((75.0, 80.0, 100.0), 30.0)
    hu = np.full(SHAPE, -850, np.int16)
    hu[:, 40:] = 20  # the half behind the ball's middle, row 40
    found = scan(mask, hu)
    shares = lesions.density([found])
    low = HU_EDGES[:-1]
    behind = mask[:, 40:].sum() / mask.sum()
    assert shares[low == 20] == pytest.approx(behind)
    assert shares[low == -850] == pytest.approx(1 - behind)
    assert lesions.peaks(shares) == (-845.0, 25.0)
    assert lesions.peaks(lesions.density([scan(mask, -850)])) == (-845.0,)
    assert lesions.peaks(np.zeros(HU_EDGES.size - 1)) == ()


def test_a_rim_is_peripheral_and_a_core_is_not() -> None:
    """Lungs are a bar of 100 mm; a plate 8 to 12 mm below one face is taken by an erosion of 12 mm and not of 8."""
    lungs = np.zeros((4, 60, 220), np.bool_)
    lungs[:, 5:55, 10:210] = True  # rows of 2 mm: 100 mm deep; columns of 1 mm
    plate = np.zeros_like(lungs)
    plate[:, 9:11, 60:160] = True  # 5th and 6th row: 10 and 12 mm from the first row outside
    ratio = lesions.peripheral(lungs, plate, SPACING)
    assert ratio[SIGMAS_MM == 9.0] == 0.0
    assert ratio[SIGMAS_MM == 10.0] == 0.5
    assert ratio[SIGMAS_MM == 12.0] == 1.0
    assert (np.diff(ratio) >= 0).all()
    assert not lesions.peripheral(lungs, np.zeros_like(lungs), SPACING).any()


def test_a_lung_at_the_edge_of_the_picture_ends_there() -> None:
    lungs = np.ones((2, 30, 40), np.bool_)
    corner = np.zeros_like(lungs)
    corner[:, 0, 0] = True
    assert lesions.peripheral(lungs, corner, SPACING)[SIGMAS_MM == 2.0] == 1.0


def test_figures_of_the_paper_are_means_over_scans_of_a_kind() -> None:
    one, two = ball((40.0, 60.0, 40.0), 20.0), ball((110.0, 110.0, 150.0), 12.0)
    scans = [scan(one), scan(one | two), scan(two, kind="cap")]
    found = lesions.findings(scans, "three drawn scans")
    ours = {figure.what: by_kind for figure, by_kind in zip(lesions.FIGURES, found.ours, strict=True)}
    count = ours["lesions per scan, mean"]
    assert (count["covid"].value, count["covid"].n, count["cap"].value) == (1.5, 2, 1.0)
    assert ours["scans with exactly one lesion"]["covid"].value == 50.0
    lvr = ours["LVR (lesion volume by lung volume), mean"]
    assert lvr["cap"].value == pytest.approx(100 * two.sum() / two.size)
    width = next(by_kind for what, by_kind in ours.items() if "width" in what)
    assert width["covid"].value == pytest.approx(100.0), "41, 41 and 25 mm are within 15 to 140"
    assert width["cap"].value == 0.0, "25 mm is below 35"
    spread = next(by_kind for what, by_kind in ours.items() if "spread" in what)
    assert np.isnan(spread["covid"].value), "no scan with LVR 4 to 6 %"


def test_what_is_told_is_plain_json_and_complete() -> None:
    found = lesions.findings([scan(ball((75.0, 60.0, 120.0), 25.0))], "one drawn scan")
    told = plain(found.as_json())
    json.dumps(told, allow_nan=False)
    assert told["scans"] == {"covid": 1, "cap": 0}
    assert told["figures"][0]["paper"] == {"covid": "4.4", "cap": "1.7"}
    assert told["figures"][0]["ours"]["cap"]["value"] is None
    assert len(found.rows()) == len(lesions.FIGURES) + 1
    assert all(len(row) == 6 for row in found.rows())


def test_every_panel_is_drawn_and_says_how_many() -> None:
    scans = [scan(ball((75.0, 60.0, 120.0), r)) for r in (20.0, 30.0)] + [
        scan(ball((60.0, 90.0, 60.0), 15.0), kind="cap")
    ]
    figure = lesion_figure.draw(lesions.findings(scans, "drawn"))
    assert sum(axes.has_data() for axes in figure.axes) == 7
    legend = figure.axes[7].get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == [
        "COVID-19 (n = 2 scans, 2 lesions)",
        "CAP (n = 1 scans, 1 lesions)",
    ]
    assert figure.axes[1].get_xlabel() == f"lesion {AXES[0]}, mm"


def test_a_library_gives_both_kinds_and_leaves_out_what_nobody_marked(tmp_path: Path) -> None:
    four = [("covid", patient(1, lesion=True)), ("normal", patient(2, lesion=False)), ("cap", patient(3, lesion=True))]
    store(tmp_path, [*four, ("covid", patient(4, lesion=True))], "four tiny patients")
    index = json.loads((tmp_path / INDEX).read_text(encoding="utf-8"))
    index["patients"][3]["annotated"] = False
    (tmp_path / INDEX).write_text(json.dumps(index), encoding="utf-8")
    said: list[str] = []
    scans, words = lesions.scans_of(tmp_path, said.append)
    assert [s.kind for s in scans] == ["covid", "cap"]
    assert all(s.count == 1 for s in scans)
    assert words == "four tiny patients"
    assert len(said) == 4


def test_a_library_without_either_kind_is_refused(tmp_path: Path) -> None:
    store(tmp_path, [("normal", patient(2, lesion=False))], "a healthy one")
    with pytest.raises(DataError, match="no scan of COVID-19 or CAP"):
        lesions.scans_of(tmp_path)
    with pytest.raises(ValueError, match="without lungs"):
        measure("covid", np.zeros(SHAPE, np.int16), np.zeros(SHAPE, np.bool_), np.ones(SHAPE, np.bool_), SPACING)
