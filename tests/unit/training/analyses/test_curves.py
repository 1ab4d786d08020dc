"""What trainings went through, from the logs they leave; and the rows of a study as bars."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from training.analyses import bars, curve_figure, drawing
from training.analyses.curves import TOTAL, curve, names, read, read_all, rows_of, together
from training.columns import area, everyone
from training.comparison import Column, Section
from training.datasets.stored import DataError
from training.loop import Progress
from training.measure import NAN, Case, Measured
from training.studytable import Said, tabled
from training.watch import LOGS, logged
from triaged.cli import app

pytest.importorskip("tensorboard", reason="TensorBoard comes with the train extra")
pytest.importorskip("matplotlib", reason="Matplotlib comes with the train extra")


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "DPI", 30)
    monkeypatch.setattr(drawing, "KINDS", ("png",))


def progress(stage: str, step: int, loss: float, **scores: float) -> Progress:
    return Progress(stage=stage, step=step, steps=8, losses={"CT": loss / 2, "NAT": loss / 2}, scores=scores or None)


def trained(folder: Path, *, shift: bool, seed: int) -> Path:
    """Two stages, of eight steps and of four; the first was stopped after five steps, and went on from the fourth."""
    work = folder / f"covid-mtl-{shift}-{seed}" / "training"
    with logged(work / LOGS) as log:
        for step in range(1, 6):
            log(progress("diagnosis", step, 100.0, **({"AUC": 0.5 + 0.1 * shift} if step == 4 else {})))
    with logged(work / LOGS) as log:
        for step in range(5, 9):
            log(progress("diagnosis", step, 4.0, **({"AUC": 0.6 + 0.1 * seed} if step == 8 else {})))
        for step in range(1, 5):
            log(progress("severity", step, 2.0, **({"AUC": NAN, "severity AUC": 0.8} if step == 4 else {})))
    plan = {"shift": shift, "seed": seed, "lr": 0.005}
    manifest = {"recipe": "covid-mtl", "scale": "small", "plan": plan}
    (work / "manifest.json").write_text(json.dumps(manifest))
    return work.parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("trainings")
    return [trained(folder, shift=shift, seed=seed) for shift in (True, False) for seed in (1, 2)]


def test_stages_follow_each_other_and_a_repeated_step_counts_once(runs: list[Path]) -> None:
    run = read(runs[0])
    steps, total = run.series[TOTAL].T
    assert list(steps) == list(range(1, 13))
    assert list(total) == pytest.approx([100.0] * 4 + [4.0] * 4 + [2.0] * 4)
    np.testing.assert_allclose(run.series["AUC"][:2], [[4, 0.6], [8, 0.7]], rtol=1e-6)
    np.testing.assert_allclose(run.series["severity AUC"], [[12, 0.8]], rtol=1e-6)
    assert (read(runs[0] / "training").settings, run.settings["shift"]) == (run.settings, True)


def test_seeds_are_drawn_together_and_runs_are_called_what_sets_them_apart(runs: list[Path]) -> None:
    found = [read(folder) for folder in runs]
    groups = together(found)
    assert {words: len(some) for words, some in groups.items()} == {"shift": 2, "no shift": 2}
    both = curve(groups["shift"], "AUC")
    assert both is not None
    np.testing.assert_allclose(both.steps, [4, 8], err_msg="what is no number is left out")
    np.testing.assert_allclose(both.mean, [0.6, 0.75], rtol=1e-6)
    np.testing.assert_allclose((both.low[1], both.high[1]), (0.7, 0.8), rtol=1e-6)
    assert both.runs == 2
    assert curve(groups["shift"], "nothing") is None
    assert names(found)[0] == TOTAL
    assert set(rows_of(found, "shift")) == {"shift", "no shift"}
    assert set(together(rows_of(found, "shift")["shift"])) == {"covid-mtl"}
    with pytest.raises(ValueError, match="no run has F1; there are"):
        names(found, ["F1"])
    with pytest.raises(ValueError, match="not every run has width; all have"):
        rows_of(found, "width")


def test_a_line_for_each_group_in_a_panel_for_each_score(runs: list[Path]) -> None:
    found = [read(folder) for folder in runs]
    figure = curve_figure.draw(found, ["AUC", TOTAL])
    panels = figure.axes
    assert [len(axes.lines) for axes in panels] == [2, 2]
    shown = {line.get_label(): line.get_ydata() for line in panels[0].lines}
    np.testing.assert_allclose(shown["no shift (2 seeds)"], [0.5, 0.75], rtol=1e-6)
    assert len(curve_figure.draw(found, ["AUC"], "shift").axes) == 2


def test_the_command_draws_what_a_study_left(runs: list[Path], tmp_path: Path) -> None:
    words = ["analyse", "curves", *map(str, runs), "--score", "severity AUC", "--rows", "shift"]
    ran = CliRunner().invoke(app, [*words, "--out", str(tmp_path), "--json"])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout)
    assert said["no shift"]["severity AUC"]["covid-mtl"]["runs"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"curves.png", "curves.json"}
    for folder, reason in ((tmp_path, "holds no logs"), (_emptied(tmp_path / "x"), "logs are empty")):
        ran = CliRunner().invoke(app, ["analyse", "curves", str(folder), "--out", str(tmp_path / "none")])
        assert (ran.exit_code, reason in ran.stderr) == (1, True)
    found, without = read_all([tmp_path, runs[0]])
    assert (len(found), len(without)) == (1, 1), "a study has rows without logs too"


def test_of_several_recipes_each_is_told_by_its_own_settings(runs: list[Path]) -> None:
    mine = [read(folder) for folder in runs]
    other = replace(mine[0], settings={"recipe": "unet", "scale": "small", "lr": 1.0, "seed": 1})
    assert set(together([*mine, other])) == {"covid-mtl, shift", "covid-mtl, no shift", "unet"}


def _emptied(folder: Path) -> Path:
    (folder / LOGS).mkdir(parents=True)
    (folder / "manifest.json").write_text('{"recipe": "unet", "scale": "tiny", "plan": {}}')
    return folder


def study_json(path: Path) -> Path:
    """As `triaged study --json` prints it: one row is not whole."""
    cases = [Case(name=str(n), kind=("covid", "normal")[n % 2], fraction=0.1, descriptors={}) for n in range(20)]
    rng = np.random.default_rng(0)

    def row(apart: float, *marks: str) -> Said:
        scores = [float(rng.normal(apart * (case.kind == "covid"))) for case in cases]
        measured = [Measured(lung_dice=NAN, lesion_dice=NAN, fraction=NAN, score=s, seconds=1.0) for s in scores]
        return Said(parts={"": [measured]}, marks=marks)

    section = Section(title="Figs. 8 and 9", columns=(Column(name="AUC %", metric=area(everyone)),), rows=())
    said = {"whole": row(3.0), "part": row(1.0, "its time was up")}
    tables = [tabled(section, f"Figs. 8 and 9; {words}", "", cases, said, resamples=50) for words in ("a", "b")]
    path.write_text(json.dumps([table.as_json() | {"trained": {}} for table in tables]))
    return path


def test_rows_of_a_study_become_bars_with_their_intervals(tmp_path: Path) -> None:
    path = study_json(tmp_path / "study.json")
    first, second = bars.charts(path)
    assert (first.title, second.stem) == ("Figs. 8 and 9; a", "figs-8-and-9-b")
    whole, part = first.columns["AUC %"]
    assert (whole.row, whole.whole, part.row, part.whole) == ("whole", True, "part", False)
    assert whole.low < whole.value <= whole.high
    (panel,) = bars.draw(first).axes
    assert [patch.get_width() for patch in panel.patches] == pytest.approx([whole.value, part.value])
    assert [patch.get_hatch() or "" for patch in panel.patches] == ["", "///"]
    ran = CliRunner().invoke(app, ["analyse", "bars", str(path), "--title", "; B", "--out", str(tmp_path / "out")])
    assert ran.exit_code == 0, ran.output
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"figs-8-and-9-b.png"}
    with pytest.raises(DataError, match="'Table'"):
        bars.charts(path, "Table")
    path.write_text('{"rows": 1}')
    with pytest.raises(DataError, match="is not what `triaged study NAME --json` prints"):
        bars.charts(path)
