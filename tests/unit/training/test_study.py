"""A study from its phantoms to its tables: kept, stopped, continued, with rows that fail."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.bundle import read_card
from tests.unit.training.study_phantoms import phantoms
from training import study as studies
from training import studyreport
from training.analyses import curves
from training.columns import area, covid_with_lesions, decision, everyone, lesion_dice
from training.comparison import Column, Method, Row, Section, Study, Training
from training.precision import BFLOAT16
from training.reported import Row as Printed
from training.reported import Table
from training.study import Done, Hears, Settings, run
from training.studydata import StudyData
from training.studyrows import Workshop, without_words
from triaged.cli import app

CNN = Training(recipe="cnn8", changes=("steps=6", "validate_every=3"))
WORSE = replace(CNN, changes=(*CNN.changes, "lr=1e30"))
STUDY = Study(
    name="tiny",
    title="nobody's paper",
    budget="as many",
    sections=(
        Section(
            title="table 1",
            columns=(
                Column(name="AUC", metric=area(everyone)),
                Column(name="accuracy", metric=decision("accuracy")),
                Column(name="Dice %", metric=lesion_dice(covid_with_lesions), scale=100, digits=1),
            ),
            paper=Table(
                title="as printed",
                columns=("modality", "AUC", "accuracy", "Dice %"),
                rows=(
                    Printed(name="Human expert", paper={"AUC": 0.9}),
                    Printed(name="CNN", paper={"modality": "2D", "AUC": 0.83}),
                ),
            ),
            rows=(
                Row(name="Thresholding", parts={"": Method(name="thresholding")}),
                Row(name="CNN", parts={"": CNN}, headline=True),
                Row(name="CNN, too fast", parts={"": WORSE}),
                Row(name="Lungs", parts={"": Method(name="classical-lungs")}),
            ),
        ),
    ),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    return phantoms(tmp_path_factory.mktemp("data"))


def settings(out: Path, **changes: object) -> Settings:
    known = {"scale": "tiny", "out": out, "seeds": 2, "lungs": "classical-lungs", "resamples": 50}
    return Settings(**{**known, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def carried(data: StudyData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    out = tmp_path_factory.mktemp("out")
    return out, run(STUDY, data, settings(out))


def test_a_study_prints_the_papers_table_for_both_sets_of_cases(carried: tuple[Path, Done]) -> None:
    said = studyreport.as_json(carried[1])
    json.dumps(said, allow_nan=False)
    assert [str(table["title"]).partition("; ")[2][:6] for table in said] == ["test s", "second"]
    for table in said:
        assert table["columns"] == ["modality", "AUC", "accuracy", "Dice %"]
        assert "Not comparable" in str(table["note"])
        rows = {row["name"]: row for row in table["rows"]}  # type: ignore[attr-defined]
        assert rows["Human expert"]["ours"] == dict.fromkeys(table["columns"])  # type: ignore[call-overload]
        assert rows["CNN"]["paper"]["AUC"] == 0.83
        assert rows["CNN"]["ours"]["modality"] == "2D"
        assert 0.0 <= rows["CNN"]["ours"]["AUC"] <= 1.0
        assert rows["CNN"]["ours"]["Dice %"] is None, "it draws no lesions"
        assert rows["Thresholding"]["ours"]["accuracy"] is None, "it gives no probability"
        assert 0.0 <= rows["Thresholding"]["ours"]["Dice %"] <= 100.0
    seeds = {(i["row"], i["column"]): i["seeds"] for i in said[0]["intervals"]}  # type: ignore[attr-defined]
    assert (seeds["CNN", "AUC"], seeds["Thresholding", "AUC"]) == (2, 1)


def test_a_row_that_fails_says_why_and_the_table_goes_on(carried: tuple[Path, Done]) -> None:
    out, done = carried
    assert "mixed precision" not in done.tables[0].as_markdown()
    assert set(done.missing) == {"cnn-too-fast", "lungs"}
    marks = done.tables[0].marks
    assert "no number" in marks["CNN, too fast"][0]
    assert "not triage" in marks["Lungs"][0]
    assert marks["CNN"] == ()
    text = studyreport.section(STUDY, done, "triaged study tiny", date(2026, 11, 21), 1.0)
    assert "**Partial**: 2 of 4 rows" in text
    assert str(out) not in text
    assert "12 slices each, 2 trainings" in text
    assert "| CNN | 0." in text.partition("95 % intervals")[2]


def test_every_training_leaves_its_logs_and_what_is_written_down_can_be_read(
    carried: tuple[Path, Done], tmp_path: Path
) -> None:
    out, done = carried
    pytest.importorskip("tensorboard", reason="TensorBoard comes with the train extra")
    whole = [folder for folder in (out / "trainings").iterdir() if (folder / "training" / "bundle").is_dir()]
    runs = [curves.read(folder) for folder in whole]
    assert [len(run.series[curves.TOTAL]) for run in runs] == [6, 6]
    (together,) = curves.together(runs).values()
    assert len(together) == 2, "two seeds"
    studyreport.put(tmp_path / "RESULTS.md", STUDY, done, "triaged study tiny", date(2026, 11, 21), 1.0)
    assert "<!-- study-tiny: begin -->" in (tmp_path / "RESULTS.md").read_text()
    assert json.loads((tmp_path / "results" / "tiny.json").read_text()) == json.loads(
        json.dumps(studyreport.as_json(done))
    )


def test_what_is_there_is_not_repeated(carried: tuple[Path, Done], data: StudyData) -> None:
    out, first = carried
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and "cnn8" in str(path)}
    good = replace(STUDY, sections=(replace(STUDY.sections[0], rows=STUDY.sections[0].rows[:2]),))
    again = run(good, data, settings(out))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.missing == ()
    for name in ("CNN", "Thresholding"):
        assert again.tables[0].answers[name]["AUC"].score == first.tables[0].answers[name]["AUC"].score


def test_rows_that_were_not_asked_for_show_what_is_there(carried: tuple[Path, Done], data: StudyData) -> None:
    rows = (*STUDY.sections[0].rows[:2], Row(name="Other", parts={"": replace(CNN, changes=("steps=4",))}))
    more = replace(STUDY, sections=(replace(STUDY.sections[0], rows=rows),))
    done = run(more, data, settings(carried[0], rows=("thresholding",)))
    assert done.missing == ()
    assert done.tables[0].marks == {"Thresholding": (), "CNN": (), "Other": ("seed 42: not trained",)}
    assert done.tables[0].answers["CNN"]
    with pytest.raises(studies.CannotStudy, match="no row cat; there are thresholding, cnn, other"):
        run(more, data, settings(carried[0], rows=("cat",)))


def test_a_stopped_study_continues_where_it_was(carried: tuple[Path, Done], data: StudyData, tmp_path: Path) -> None:
    rows = STUDY.sections[0].rows[:2]
    good = replace(STUDY, sections=(replace(STUDY.sections[0], rows=rows),))
    asked = itertools.count()
    stopped = run(good, data, settings(tmp_path), Hears(stop=lambda: next(asked) > 14))
    assert stopped.missing == ("cnn",)
    assert "stopped before its end" in stopped.tables[0].marks["CNN"][0]
    assert stopped.tables[0].answers["Thresholding"], "what was done before is told"
    same = Row(name="The same", parts={"": CNN}, headline=True)
    more = replace(good, sections=(replace(good.sections[0], rows=(same, *rows), paper=None),))
    done = run(more, data, settings(tmp_path, rows=("thresholding", "cnn")))
    assert done.missing == ()
    assert done.tables[0].marks["The same"] == (), "one training, two rows"
    assert done.tables[0].answers["CNN"]["AUC"].score == carried[1].tables[0].answers["CNN"]["AUC"].score


def test_a_training_whose_time_is_up_gives_what_it_has_and_can_go_on(data: StudyData, tmp_path: Path) -> None:
    """Step by step, it ends with the weights of one that had all the time."""
    patient = Workshop(data=data, scale="tiny", folder=tmp_path / "patient")
    whole = patient.made(CNN, 42)
    hasty = replace(patient, folder=tmp_path / "hasty", cap_s=0.0)
    first = hasty.made(CNN, 42)
    assert first.bundle is not None
    assert first.share == pytest.approx(1 / 6)
    assert not first.is_whole
    assert "stopped early" in read_card(first.bundle).limits
    assert hasty.made(CNN, 42) == first, "its time is still up"
    assert hasty.known(CNN, 42) == first
    last = replace(hasty, cap_s=600.0).made(CNN, 42)
    assert last.is_whole
    assert last.seconds > first.seconds
    assert whole.bundle is not None
    assert last.bundle is not None
    assert read_card(last.bundle).sha256 == read_card(whole.bundle).sha256


def test_a_training_is_kept_under_what_decides_it(data: StudyData, tmp_path: Path) -> None:
    shop = Workshop(data=data, scale="tiny", folder=tmp_path)
    places = {
        shop.place(CNN, 42)[0],
        shop.place(CNN, 43)[0],
        shop.place(WORSE, 42)[0],
        shop.place(replace(CNN, recipe="unet"), 42)[0],
        replace(shop, scale="small").place(CNN, 42)[0],
        replace(shop, precision=BFLOAT16).place(CNN, 42)[0],
    }
    assert len(places) == 6
    assert shop.place(replace(CNN, bundle="another"), 42) == shop.place(CNN, 42), "one training, two bundles"
    assert shop.seeds(CNN, 3) == [42, 43, 44]
    assert shop.seeds(Training(recipe="random-forest"), 3) == [None]


def test_the_command_says_what_there_is(tmp_path: Path) -> None:
    for words, says in (
        (["cats"], "ct-triage"),
        (["amyar", "--scale", "huge"], "small"),
        (["amyar", "--rows", "x"], "t2-t3"),
        (["amyar", "--precision", "half"], "bfloat16"),
    ):
        ran = CliRunner().invoke(app, ["study", *words, "--out", str(tmp_path)])
        assert ran.exit_code == 2
        assert says in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_study_in_mixed_precision_trains_so_and_says_so(data: StudyData, tmp_path: Path) -> None:
    one = replace(STUDY, sections=(replace(STUDY.sections[0], rows=STUDY.sections[0].rows[1:2]),))
    mixed = settings(tmp_path, seeds=1, precision=BFLOAT16)
    done = run(one, data, mixed)
    assert done.missing == ()
    assert "trained in mixed precision (bfloat16); the lungs" in done.tables[0].as_markdown()
    assert "--precision bfloat16" in studyreport.command(one, mixed, ())
    (manifest,) = tmp_path.rglob("bundle/manifest.json")
    assert json.loads(manifest.read_text())["precision"] == BFLOAT16
    card = read_card(manifest.parent)
    assert (card.familiar, "does not know what is unfamiliar" in card.limits) == ({}, True)
    assert "precision" not in studyreport.command(one, settings(tmp_path), ())


def test_a_word_said_of_the_code_repeats_no_training() -> None:
    said = without_words(
        '"""Of a rate."""\nLR = 1e-3  # tried\n\n\ndef rate() -> float:\n    """Of all."""\n    return LR\n'
    )
    assert said == without_words("LR = 1e-3\ndef rate() -> float:\n    return LR")
    assert said != without_words("LR = 3e-3\ndef rate() -> float:\n    return LR")
    assert without_words("def f():\n    return 'told'") != without_words("def f():\n    return 'said'")
