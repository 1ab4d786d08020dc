"""`triaged evaluate` and the section it writes."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.training.some_cases import SomeCases
from training import evaluation, heldoutreport, surfaces
from training.datasets.heldout import HeldOutPhantoms
from training.evaluate import Contender
from training.judge import judge
from triaged.cli import app

GENERIC = Contender(label="generic", lungs="generic-lungs", triage="thresholding")


def test_the_section_says_what_was_run_on_what_and_names_no_folder() -> None:
    elsewhere = Contender(label="b", lungs="/a/b/net", triage="/a/c/head")
    some = SomeCases(count=2)
    found = judge(some, [GENERIC])
    text = heldoutreport.section(
        found.evaluation(resamples=20), [*found.contenders, elsewhere], some, "make held-out", date(2026, 5, 4), 3.2
    )
    assert text.startswith("## Held-out phantoms\n\n`make held-out`, 2026-05-04, ")
    assert "Seven chests." in text
    assert "- **b**: lungs by `net`, triage by `head`" in text
    assert "/a/" not in text
    assert "generic less thresholding" in text
    assert "(\\*)" in text  # no emphasis
    assert heldoutreport.command([], HeldOutPhantoms()) == "make held-out"
    assert heldoutreport.command([elsewhere], some) == 'make held-out ARGS="b=net,head --cases 2"'


def test_the_command_writes_its_section_and_prints_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "data_set", lambda settings: HeldOutPhantoms(count=2, pixels=72, slice_mm=30.0))
    results, kept = tmp_path / "RESULTS.md", tmp_path / "out"
    results.write_text("before\n")
    arguments = ["evaluate", "generic-lungs", "--workers", "1", "--out", str(kept), "--results", str(results)]
    arguments += ["--no-surfaces"]
    said = CliRunner().invoke(app, arguments)
    assert said.exit_code == 0, said.output
    text = results.read_text()
    assert text.startswith("before\n\n<!-- held-out: begin -->\n## Held-out phantoms\n")
    assert said.stdout.strip() in text
    assert len(list((kept / evaluation.MEASUREMENTS).iterdir())) == 4
    report = json.loads((kept / evaluation.REPORT).read_text())
    assert [part["label"] for part in report["parts"]] == ["thresholding", "generic-lungs"]
    assert "thresholding" in (kept / evaluation.PAGE).read_text()
    again = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert [row["label"] for row in again["rows"]] == ["thresholding", "generic-lungs"]
    assert sum(again["cases"].values()) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hope"], "neither a model"),
        (["a=b"], "LABEL=LUNGS,TRIAGE"),
        (["--data", "mosmed=x"], "unknown data set 'mosmed'"),
        (["--data", "phantom=nowhere"], "nowhere holds no patients"),
        (["--data", "phantom=nowhere", "--results", "R.md"], "of those that are drawn"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(arguments: list[str], words: str) -> None:
    said = CliRunner().invoke(app, ["evaluate", *arguments])
    assert said.exit_code == 1
    assert words in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1


def test_without_monai_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surfaces, "is_available", lambda: False)
    said = CliRunner().invoke(app, ["evaluate", "--out", str(tmp_path / "out")])
    assert said.exit_code == 1
    assert "pip install 'triaged[train]', or --no-surfaces" in said.stderr
    assert not (tmp_path / "out").exists()
