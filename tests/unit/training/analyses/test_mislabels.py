"""The mislabel analysis finds planted mislabels, names the farthest first, and does not measure twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from models.severity import Floor
from models.severity import grade as graded
from models.volume import Volume
from training.analyses import mislabel_figure
from training.analyses.mislabels import (
    BANDS,
    GRADES,
    Entry,
    Kept,
    Measured,
    distance,
    judge,
    measured,
    read_table,
    said_by,
    scan_digest,
)
from training.datasets.stored import DataError

PLANTED = {7: ("CT-1", 0.80), 23: ("CT-4", 0.40), 31: ("CT-2", 0.12)}


def cohort() -> list[Measured]:
    """Forty scans well inside their bands, three of them with another's grade."""
    scans = []
    for row in range(1, 41):
        grade = GRADES[row % 4]
        low, high = BANDS[grade]
        scans.append(Measured(row=row, grade=grade, affected=low + (high - low) * (0.2 + 0.6 * (row / 41))))
    return [
        Measured(row=s.row, grade=PLANTED[s.row][0], affected=PLANTED[s.row][1]) if s.row in PLANTED else s
        for s in scans
    ]


def test_planted_mislabels_are_found_the_farthest_first() -> None:
    found = judge(cohort())
    assert [(s.row, s.said) for s in found.suspects] == [(7, "CT-4"), (23, "CT-2"), (31, "CT-1")]
    assert [s.distance for s in found.suspects] == pytest.approx([0.55, -0.35, -0.13])
    assert found.outside.value == pytest.approx(100 * 3 / 40)
    assert sum(g.n for g in found.grades) == found.n == 40
    for one in found.grades:
        assert one.below + one.inside + one.above == one.n
    assert 0.8 < found.rank.value < 1.0


def test_who_is_out_of_order_is_told_from_who_is_only_out_of_the_band() -> None:
    """A model that finds half of everything moves scans out of their bands, and none past another grade."""
    halved = [Measured(row=n, grade=g, affected=sum(BANDS[g]) / 4) for n, g in enumerate(GRADES, start=1)]
    found = judge(halved)
    assert [s.grade for s in found.suspects] == ["CT-4", "CT-3", "CT-2"]
    assert all(s.crossed == 0 and s.others == 3 for s in found.suspects)
    assert found.rank.value == pytest.approx(1.0)
    first = judge(cohort()).suspects[0]
    above = [s for s in cohort() if s.grade != "CT-1" and s.affected < 0.80]
    assert (first.crossed, first.others) == (len(above), sum(s.grade != "CT-1" for s in cohort()))


@pytest.mark.parametrize(
    ("grade", "affected", "away"),
    [("CT-1", 0.25, 0.0), ("CT-2", 0.25, 0.0), ("CT-2", 0.2, -0.05), ("CT-3", 0.8, 0.05), ("CT-4", 1.0, 0.0)],
)
def test_bands_are_closed(grade: str, affected: float, away: float) -> None:
    assert distance(grade, affected) == pytest.approx(away)


@pytest.mark.parametrize("affected", [0.1, 0.25, 0.26, 0.5, 0.7, 0.75, 0.76, 1.0])
def test_what_a_fraction_stands_for_is_what_the_daemon_says(affected: float) -> None:
    assert said_by(affected) == graded(affected, 1000.0, Floor())


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="no scan with a grade"):
        judge([])
    with pytest.raises(ValueError, match="row 3: an affected fraction"):
        judge([Measured(row=3, grade="CT-1", affected=12.0)])


def test_a_table_is_read_with_grades_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    path.write_text("\ufeffgrade,path,affected_percent\nCT-1,a.nii.gz,\nct2,,37.5\n0,,1\n4,b,80\n", encoding="utf-8")
    assert read_table(path) == [
        Entry(row=1, grade="CT-1", path=tmp_path / "a.nii.gz"),
        Entry(row=2, grade="CT-2", affected=0.375),
        Entry(row=3, grade="CT-0", affected=0.01),
        Entry(row=4, grade="CT-4", path=tmp_path / "b", affected=0.8),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("study,path\n1,a\n", "no column grade"),
        ("grade,path\nsevere,a\n", "row 1: grade is one of CT-0, CT-1"),
        ("grade,path\nCT-5,a\n", "row 1: grade is one of"),
        ("grade,path\nCT-1,a\nCT-1,\n", "row 2: neither path nor affected_percent"),
        ("grade,affected_percent\nCT-1,many\n", "row 1: affected_percent is no number"),
        ("grade,affected_percent\nCT-1,101\n", "row 1: affected_percent is no number"),
    ],
)
def test_a_malformed_table_says_where(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        read_table(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "none.csv")


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode())
    entries = [Entry(row=n, grade="CT-1", path=tmp_path / name) for n, name in enumerate("abc", start=1)]
    entries += [Entry(row=4, grade="CT-0", path=tmp_path / "healthy"), Entry(row=5, grade="CT-3", affected=0.6)]
    asked: list[str] = []

    def affected_in(path: Path) -> float | None:
        asked.append(path.name)
        return None if path.name == "c" else 0.1

    out = tmp_path / "out"
    scans, failed = measured(entries, affected_in, Kept(out, "one model"))
    assert ([s.row for s in scans], failed, asked) == ([1, 2, 5], 1, ["a", "b", "c"])
    with (out / "measured.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"scan": "cut o')
    again, _ = measured(entries, affected_in, Kept(out, "one model"))
    assert (again, asked) == (scans, ["a", "b", "c", "c"])
    (tmp_path / "a").write_bytes(b"another scan")
    measured(entries, affected_in, Kept(out, "one model"))
    assert asked[4:] == ["a", "c"]
    measured(entries, affected_in, Kept(out, "another model"))
    assert asked[6:] == ["a", "b", "c"]
    assert str(tmp_path) not in (out / "measured.jsonl").read_text(encoding="utf-8"), "a path may name a patient"


def test_a_scan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not there"):
        scan_digest(tmp_path / "none.nii.gz")
    with pytest.raises(DataError, match="empty folder"):
        scan_digest(tmp_path)


def test_every_scan_is_drawn_over_its_grade() -> None:
    scans = cohort()
    figure = mislabel_figure.draw(scans, judge(scans).suspects, "drawn")
    (axes,) = figure.axes
    points = [np.asarray(group.get_offsets()) for group in axes.collections if isinstance(group, PathCollection)]
    assert sum(map(len, points)) == 40
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        f"{g}\n(n = {sum(s.grade == g for s in scans)})" for g in GRADES
    ]
    assert axes.get_title() == "drawn: 3 of 40 outside their band"
    assert all((np.abs(group[:, 0] - np.rint(group[:, 0])) < 0.45).all() for group in points)


def test_the_slice_with_most_lesion_stands_for_a_scan() -> None:
    suspect = judge(cohort()).suspects[0]
    hu = np.zeros((10, 20, 31), np.int16)
    hu[6] = 5
    lesions = np.zeros(hu.shape, np.bool_)
    lesions[2, 3:5, 3:5], lesions[6, 4:9, 5:20] = True, True
    flipped = np.diag([2.0, 2.0, -5.0, 1.0])[[2, 1, 0, 3]] * [[-1], [1], [1], [1]]  # the first slice is the highest
    shown = mislabel_figure.slice_of(suspect, Volume(hu=hu, affine_lps=flipped), lesions)
    assert (shown.hu == 5).all()
    assert shown.lesions.sum() == 75
    assert mislabel_figure.slice_of(suspect, Volume(hu=hu, affine_lps=flipped), lesions & False).hu.shape == (20, 31)
    figure = mislabel_figure.gallery([shown] * 4)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["CT-1, 80.0 % (row 7)"] * 4 + [""] * 2
