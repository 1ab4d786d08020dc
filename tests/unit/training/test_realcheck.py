"""The real check on a folder of drawn studies that is laid out as the real one."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner

from models.volume import Volume
from tests.unit.models.chest import Chest, Drawn, Ellipsoid, draw
from training import realcheck, realstudies
from training.evaluate import Contender
from training.phantom.dicom import SeriesInfo, StudyInfo, uid_for, write_series
from training.realreport import report, table
from training.realstudies import LOBES, MARKED, STUDIES, Checked, slice_labels

RIGHT_BALL = Ellipsoid(centre=(-40, 20, -80), half=(45, 40, 35))
LEFT_BALL = Ellipsoid(centre=(50, 20, 80), half=(35, 40, 30))
CONTENDER = Contender(label="classical", lungs="classical-lungs", triage="thresholding")
Columns = dict[str, list[bool]]


def _draw(*balls: Ellipsoid) -> Drawn:
    return draw(Chest(dense=tuple((ball, -400) for ball in balls)), slice_mm=12.0, pixel_mm=4.0, noise=5.0)


def _write(folder: Path, volume: Volume) -> list[Path]:
    """Files from head to foot, as in the real data."""
    uid = uid_for(folder.parent.name, folder.name)
    series = SeriesInfo(series_uid=uid, frame_of_reference_uid=uid_for(uid, "frame"))
    written = write_series(volume, folder, StudyInfo(study_uid=uid_for(uid, "study")), series)
    return [
        path.rename(path.with_name(f"IMG{number:04d}.dcm")) for number, path in enumerate(reversed(written.paths), 1)
    ]


def _label(drawn: Drawn, paths: list[Path], study: str, balls: tuple[Ellipsoid, ...]) -> list[dict[str, object]]:
    z = drawn.grid[0].ravel()[::-1]
    rows = []
    for path, height in zip(paths, z, strict=True):
        hit = [abs(height - ball.centre[0]) < ball.half[0] for ball in balls]
        right = any(h for h, ball in zip(hit, balls, strict=True) if ball.centre[2] < 0)
        left = any(h for h, ball in zip(hit, balls, strict=True) if ball.centre[2] > 0)
        lobes = {"RML": int(right), "LUL": int(left)}
        row = {"level": "slice", "study": study, "file": path.name, "infection": int(any(hit)), **lobes}
        rows.append(row)
    return rows


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("shared") / "data"
    balls: dict[str, tuple[Ellipsoid, ...]] = {
        "covid-P001": (RIGHT_BALL, LEFT_BALL),
        "cap-001": (LEFT_BALL,),
        "lungdx-A0001 L": (RIGHT_BALL,),
        "lungdx-A0001 B": (RIGHT_BALL,),
    }
    rows: list[dict[str, object]] = []
    for name, folder in STUDIES.items():
        drawn = _draw(*balls.get(name, ()))
        paths = _write(data / "studies" / folder, drawn.volume)
        if name in realstudies.LABELLED:
            rows += _label(drawn, paths, name, balls[name])
    columns = ["level", "study", "file", "infection", *LOBES[1], *LOBES[2]]
    with (data / "studies" / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval=0)
        writer.writeheader()
        writer.writerows([{"level": "study", "study": "cap-001"}, *rows])
    _volumes(data / "volumes", drawn)
    (data / "MANIFEST.md").write_text("drawn")
    return data


def _volumes(folder: Path, drawn: Drawn) -> None:
    folder.mkdir()
    lungs = (drawn.right | drawn.left).astype(np.uint8)
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ drawn.volume.affine_lps
    for name, array in (("imlab-id001.nii.gz", drawn.volume.hu), ("imlab-id001-lungs.nii.gz", lungs)):
        nibabel.save(nibabel.Nifti1Image(array, to_ras), folder / name)
    image = SimpleITK.GetImageFromArray(lungs)
    slice_mm, row_mm, column_mm = drawn.volume.spacing_mm
    image.SetSpacing((column_mm, row_mm, slice_mm))
    image.SetOrigin(drawn.volume.affine_lps[:3, 3].tolist())
    SimpleITK.WriteImage(image, folder / "cip-ct64-lungs.nrrd")


@pytest.fixture(scope="module")
def checked(data: Path) -> Checked:
    return realstudies.check(data, CONTENDER)


def test_lungs_are_held_against_their_marks(checked: Checked) -> None:
    for name, _, _ in MARKED:
        reading = checked.readings[name]
        assert reading.marked_dice > 0.95
        assert reading.right_ml + reading.left_ml == pytest.approx(reading.marked_ml, rel=0.1)
        assert reading.marked_ml > 3000
        assert reading.right_ml > reading.left_ml


def test_slices_are_held_against_their_own_labels_and_lungs_against_their_own_lobes(checked: Checked) -> None:
    found = checked.slices["covid-P001"]
    assert min(found.both, found.right, found.left) > 0.9
    assert max(found.crossed_right, found.crossed_left) < 0.6  # the two balls share no slice
    assert checked.slices["cap-001"].left > 0.9
    assert np.isnan(checked.slices["cap-001"].right)  # no right lobe is marked anywhere


def test_labels_are_matched_by_instance_and_not_by_order(data: Path) -> None:
    labels = slice_labels(data, "covid-P001")
    assert len(labels) == 25
    first = realstudies.series(data, "covid-P001")[0]
    assert not labels[realstudies._sop_uid(first)]["infection"]
    assert sum(mark["infection"] for mark in labels.values()) == 13


def test_the_thinned_study_keeps_a_third_of_its_slices(checked: Checked) -> None:
    whole = checked.readings["covid-P001"].fraction
    assert len(checked.thinned) == 3
    assert checked.thinned == pytest.approx([whole] * 3, rel=0.25)
    assert len(set(checked.thinned)) > 1


def _cells(text: str, what: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if what in line]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_figure_stands_in_the_table_and_what_is_met_is_not_marked(checked: Checked) -> None:
    text = table([checked])
    assert _cells(text, "lung Dice, cip-ct64")[1] == "at least 0.95"
    assert re.fullmatch(r"[\d.]+ % / [\d.]+ %", _cells(text, "affected right / left, normal-001")[2])
    assert _cells(text, "kernel L less kernel B")[2] == "+0.00"
    assert "missed" not in _cells(text, "affected, worse lung, covid-P001 thinned")[2]
    assert "COVID-19 score" not in text


def test_scores_stand_in_the_table_where_some_pipeline_gives_them(checked: Checked) -> None:
    scored = _with("cap-001", score=0.25)(replace(checked, thinned_scores=(0.5, 0.625, 0.75)))
    text = table([checked, scored])
    assert _cells(text, "COVID-19 score (uncalibrated), cap-001")[2:] == ["–", "0.250"]
    assert _cells(text, "the same, covid-P001 thinned")[3] == "0.500 / 0.625 / 0.750"


Change = Callable[[Checked], Checked]


def _with(name: str, **values: float | str) -> Change:
    return lambda c: replace(c, readings={**c.readings, name: replace(c.readings[name], **values)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_with("cip-ct64", marked_dice=0.949), "lung Dice, cip-ct64"),
        (_with("normal-001", left_fraction=0.021), "affected right / left, normal-001"),
        (_with("normal-001", left_fraction=0.9), "thinned to 6 mm"),
        (_with("lungdx-A0001 B", right_fraction=0.5), "kernel L less kernel B"),
        (
            lambda c: replace(c, slices={**c.slices, "covid-P001": replace(c.slices["covid-P001"], crossed_left=1.0)}),
            "left lung against its own lobes (against the other lung's), covid-P001",
        ),
    ],
)
def test_what_misses_its_aim_is_marked(checked: Checked, change: Change, line: str) -> None:
    assert "**missed**" in _cells(table([change(checked)]), line)[2]


def test_a_second_pipeline_has_to_beat_the_first(checked: Checked) -> None:
    first, worse, better = (
        replace(checked, slices={name: replace(found, both=auc) for name, found in checked.slices.items()})
        for auc in (0.90, 0.89, 0.91)
    )
    cells = _cells(table([first, worse, better]), "slice AUC of the lesion area, covid-P001")
    assert ["missed" in cell for cell in cells[2:]] == [False, True, False]


def test_a_refusal_is_told_and_breaks_nothing(checked: Checked, tmp_path: Path) -> None:
    refused = replace(checked, readings={**checked.readings, "cip-ct64": realstudies.Reading(refused="no lungs found")})
    assert "no lungs found" in table([refused])
    assert "nan" not in table([refused])
    blank = Volume(hu=np.full((12, 20, 31), -1000, np.int16), affine_lps=np.diag([4.0, 3.0, 3.0, 1.0])[[2, 1, 0, 3]])
    reading, found = realstudies._read(CONTENDER.pipeline(), _write(tmp_path / "blank", blank), None)
    assert "no lungs" in reading.refused
    assert found is None
    assert np.isnan(realstudies.slice_auc(None, {}).both)


def test_the_report_names_command_date_and_models_and_no_folder(checked: Checked) -> None:
    other = replace(checked, contender=Contender(label="new", lungs="/home/x/lungs-1", triage="/home/x/triage-1"))
    text = report([checked, other], date(2026, 2, 3), is_default=False)
    assert '`make real-check ARGS="--pipeline new=lungs-1,triage-1"`, 2026-02-03' in text
    assert "/home" not in text
    assert "cores of" in text


def test_the_command_writes_its_section(data: Path, checked: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What it runs is tested above; here it is given what was found there."""
    monkeypatch.setenv(realcheck.DATA, str(data))
    monkeypatch.setattr(realcheck, "check", lambda data, contender, *_: replace(checked, contender=contender))
    out = tmp_path / "RESULTS.md"
    said = CliRunner().invoke(realcheck.app, ["--out", str(out)])
    assert said.exit_code == 0, said.output
    expected = table([replace(checked, contender=contender) for contender in realcheck.contenders([])])
    assert "| learned |" in expected, "without a name, what ships is checked beside the classical path"
    assert expected in out.read_text()
    assert expected in said.stdout


def test_without_the_data_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(realcheck.DATA, str(tmp_path))
    said = CliRunner().invoke(realcheck.app, ["--out", str(tmp_path / "RESULTS.md")])
    assert said.exit_code == 0
    assert "skipped: no real CT data" in said.stdout
    assert not (tmp_path / "RESULTS.md").exists()


@pytest.mark.parametrize("text", ["learned", "learned=lungs", "=a,b", "learned=,b"])
def test_a_pipeline_is_named_with_both_its_models(text: str) -> None:
    with pytest.raises(ValueError, match="LABEL=LUNGS,TRIAGE"):
        realcheck.contenders([text])


def test_named_pipelines_come_after_the_classical_one() -> None:
    found = realcheck.contenders(["a=classical-lungs,thresholding"])
    assert [c.label for c in found] == ["classical", "a"]
