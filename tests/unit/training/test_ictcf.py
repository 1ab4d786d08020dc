"""The feature table is read whole, and what is wrong with one is said before anything is fitted to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from models.feature_names import GLRLM, NAMES, SHARED, WAVELET_GLCM
from tests.unit.training.feature_tables import COLUMNS, rows_of, write
from training.datasets import ictcf
from training.datasets.stored import DataError


def test_the_names_are_the_papers_375() -> None:
    assert len(NAMES) == len(set(NAMES)) == 375
    assert len(SHARED) == 3
    assert sum("_" in name for name in NAMES) == 8 * (len(WAVELET_GLCM) + len(GLRLM)) == 304


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_a_table_is_read_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    rows = rows_of()
    table = ictcf.read(write(tmp_path / f"features{suffix}", rows))
    assert table.features.shape == (60, 375)
    assert table.column("Maximum")[7] == rows[7]["Maximum"]
    assert table.labels["severity"].tolist() == [row["COVIDSeverity"] for row in rows]
    assert int((~table.train).sum()) == sum(row["split"] == "test" for row in rows)


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    forwards = ictcf.read(write(tmp_path / "a.csv", rows_of()))
    backwards = ictcf.read(write(tmp_path / "b.csv", rows_of(), COLUMNS[::-1]))
    assert (forwards.features == backwards.features).all()


def test_equal_patients_are_named_and_can_be_left_out(tmp_path: Path) -> None:
    table = ictcf.read(write(tmp_path / "features.csv", rows_of()))
    assert table.duplicates() == [(1, 2)]
    without = table.without_duplicates()
    assert len(without) == 58
    assert not np.isin(without.patients, (1, 2)).any()
    assert len(without.labels["NAT"]) == len(without.features) == len(without.train) == 58


def test_without_a_split_column_the_papers_rule_draws_it(tmp_path: Path) -> None:
    table = ictcf.read(write(tmp_path / "features.csv", rows_of(), COLUMNS[:-1]))
    assert int((~table.train).sum()) == 18, "30 % of 60"
    nat = table.labels["NAT"]
    assert nat[table.train].mean() == pytest.approx(nat[~table.train].mean(), abs=0.02), "stratified"


def test_patients_are_fitted_in_the_order_in_which_the_papers_rule_draws_them(tmp_path: Path) -> None:
    table = ictcf.read(write(tmp_path / "features.csv", rows_of(), COLUMNS[:-1]))
    nat = table.labels["NAT"]
    drawn, _ = train_test_split(np.arange(60), stratify=nat, test_size=0.30, random_state=11, shuffle=True)
    assert table.rows_to_fit().tolist() == drawn.tolist()
    some = table.where(nat == 1)
    kept = [patient for patient in table.patients[drawn] if patient in set(some.patients)]
    assert some.patients[some.rows_to_fit()].tolist() == kept, "the order outlives a selection"


def test_a_table_too_small_to_draw_keeps_its_order(tmp_path: Path) -> None:
    rows = [{**row, "COVIDNC": int(row["PID"] == 3)} for row in rows_of(12)]
    table = ictcf.read(write(tmp_path / "features.csv", rows))
    assert table.rows_to_fit().tolist() == np.flatnonzero(table.train).tolist()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Maximum": "n/a"}, "Maximum of row 3 is no number"),
        ({"Maximum": "inf"}, "Maximum of row 3 is no number"),
        ({"COVIDSeverity": 3}, "COVIDSeverity has other values than 0 to 2"),
        ({"split": "validation"}, "split has other values than train and test"),
        ({"PID": 1}, "a patient has two rows"),
    ],
)
def test_a_malformed_row_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    rows = rows_of(12)
    rows[2].update(change)
    with pytest.raises(DataError, match=says):
        ictcf.read(write(tmp_path / "features.csv", rows))


def test_a_table_may_name_the_grid_of_its_features(tmp_path: Path) -> None:
    path, columns = tmp_path / "features.csv", (*COLUMNS, ictcf.GRID)
    assert ictcf.read(write(path, rows_of(12))).grid_mm == 1.0, "the paper's"
    rows = [{**row, ictcf.GRID: 3.0} for row in rows_of(12)]
    assert ictcf.read(write(path, rows, columns)).grid_mm == 3.0
    for wrong in ({**rows[0], ictcf.GRID: 6.0}, {**rows[0], ictcf.GRID: "fine"}):
        with pytest.raises(DataError, match=ictcf.GRID):
            ictcf.read(write(path, [wrong, *rows[1:]], columns))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    left = tuple(name for name in COLUMNS if name not in {"Gender", "LLH_glcm_Idn"})
    with pytest.raises(DataError, match="lacks 2 of 382 columns: Gender, LLH_glcm_Idn"):
        ictcf.read(write(tmp_path / "features.csv", rows_of(12), left))


def test_a_split_without_a_test_part_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "split": "train"} for row in rows_of(12)]
    with pytest.raises(DataError, match="empty"):
        ictcf.read(write(tmp_path / "features.csv", rows))


def test_no_patients_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no patients"):
        ictcf.read(write(tmp_path / "features.csv", []))
    with pytest.raises(DataError, match="cannot be read"):
        ictcf.read(tmp_path / "nothing.csv.gz")


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "features.csv.gz", rows_of())
    whole.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(DataError, match="cannot be read"):
        ictcf.read(whole)
