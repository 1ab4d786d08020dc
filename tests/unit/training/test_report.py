"""The report: what each figure is computed on, and that the page stands alone and shows it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pytest

from models.volume_triage import DIAGNOSES, SEVERITIES
from tests.unit.training.some_cases import SOME
from training.cases import THICK_MM
from training.classes import one_against_rest, rates, table
from training.evaluate import CLASSICAL, Contender
from training.figures import area_under
from training.judge import Judged
from training.measure import NAN, Case, Measured
from training.page import page
from training.report import SEVERITY, Report, _truths, report

NET = Contender(label="net <b>", lungs="a/net", triage="b/head")
KINDS = ("covid", "cap", "normal", "covid", "atelectasis", "other")
THIN, THICK = "up to 1.5 mm", f"above {THICK_MM:g} mm"


def _case(number: int) -> Case:
    kind = KINDS[number % len(KINDS)]
    fraction = {"covid": 0.1 + 0.012 * number, "cap": 0.05}.get(kind, 0.0)
    groups = {"slice thickness": (THIN, THICK)[number % 2]}
    return Case(name=f"{kind} {number}", kind=kind, fraction=fraction, descriptors={}, groups=groups)


def _measured(case: Case, number: int, *, learned: bool) -> Measured:
    """The learned one gives probabilities, is surer, and knows three classes; it refuses the last case."""
    if learned and number == 59:
        return Measured(lung_dice=0.0, lesion_dice=0.0, fraction=0.0, score=0.0, seconds=1.0, refused=True)
    rng = np.random.default_rng([number, learned])
    covid = float(np.clip(0.25 + 0.5 * (case.kind == "covid") + rng.normal(0, 0.15), 0.01, 0.98))
    masks = {"lung_jaccard": 0.9, "lesion_mcc": 0.5 + 0.3 * learned, "lesion_rmsd_mm": NAN if number < 10 else 4.0}
    return Measured(
        lung_dice=0.95,
        lesion_dice=0.6 + 0.2 * learned,
        fraction=case.fraction + float(rng.normal(0, 0.02)),
        score=covid if learned else case.fraction,
        seconds=1.0 + number / 10,
        is_probability=learned,
        classes=_classes(covid) if learned else {},
        masks=masks,
    )


def _classes(covid: float) -> dict[str, float]:
    """As the networks of the zoo name them: DeepSC-COVID's diagnosis, and two of COVID-MTL's tasks."""
    pneumonia = dict(zip(DIAGNOSES, (covid, 0.6 * (1 - covid), 0.4 * (1 - covid)), strict=True))
    return pneumonia | {"CT negative": 1 - covid, "CT positive": covid} | dict.fromkeys(SEVERITIES, 1 / 3)


@pytest.fixture(scope="module")
def judged() -> Judged:
    cases = tuple(_case(n) for n in range(60))
    measured = tuple(
        tuple(_measured(case, n, learned=learned) for n, case in enumerate(cases)) for learned in (False, True)
    )
    return Judged(contenders=(CLASSICAL, NET), cases=cases, measured=measured)


@pytest.fixture(scope="module")
def found(judged: Judged) -> Report:
    evaluation = judged.evaluation(resamples=40)
    return report(judged, evaluation, SOME, on=date(2026, 3, 4), workers=2, resamples=40)


def test_a_decision_is_only_of_a_model_that_gives_a_probability(found: Report, judged: Judged) -> None:
    base, net = found.parts
    assert (base.decision, base.classes) == ({}, {})
    said = np.array([m.score >= 0.5 for m in judged.measured[1]])
    positive = np.array([case.kind == "covid" for case in judged.cases])
    assert net.decision["sensitivity"].value == pytest.approx(said[positive].mean())
    assert net.decision["specificity"].value == pytest.approx((~said[~positive]).mean())
    assert net.refused == 1


def test_a_choice_between_classes_is_judged_under_the_names_that_networks_give_them(
    found: Report, judged: Judged
) -> None:
    classes = found.parts[1].classes
    assert set(classes) == {"diagnosis", "CT"}, "of severity nobody knows the truth, and NAT was not answered"
    assert classes["diagnosis"]["accuracy"].n == 59, "all but the refused one: who has no pneumonia is of a class too"
    kept = [(m, c) for m, c in zip(judged.measured[1], judged.cases, strict=True) if m.classes]
    truth = np.array([{"covid": 0, "cap": 1}.get(c.kind, 2) for _, c in kept])
    likely = np.array([[m.classes[name] for name in DIAGNOSES] for m, _ in kept])
    counts = table(truth, likely.argmax(axis=1), 3)
    assert classes["diagnosis"]["macro specificity"].value == pytest.approx(rates(counts)["macro specificity"])
    areas = one_against_rest(likely, truth)
    assert classes["diagnosis"]["AUC, mean of one against rest"].value == pytest.approx(areas.mean())
    curves = found.parts[1].class_roc["diagnosis"]
    assert [area_under(curves[name]) for name in DIAGNOSES] == pytest.approx(list(areas))
    pneumonia = np.array([c.kind in ("covid", "cap") for _, c in kept])
    said = np.array([m.classes["CT positive"] > 0.5 for m, _ in kept])
    assert classes["CT"]["accuracy"].value == pytest.approx((said == pneumonia).mean())


def test_a_label_of_the_data_set_comes_first_and_a_real_case_has_no_simulated_one(judged: Judged) -> None:
    first, second = judged.cases[:2]
    told = [replace(first, groups={"severity": "2", "CT": "CT negative", "NAT": "unknown"}), second]
    assert _truths("severity", told, synthetic=True) == [SEVERITIES[2], None]
    assert _truths("CT", told, synthetic=True) == ["CT negative", "CT positive"]
    assert _truths("CT", told, synthetic=False) == ["CT negative", None]
    assert _truths("NAT", told, synthetic=True)[0] is None, "what the data set says and is no class is not known"


def test_masks_are_judged_where_there_is_something_to_judge(found: Report) -> None:
    details = found.parts[1].details
    assert details["lung_jaccard"].n == 59  # the refused one was not measured here
    assert details["lesion_mcc"].n == 30
    assert details["lesion_mcc"].value == pytest.approx(0.8)
    assert details["lesion_rmsd_mm"].n == 24  # nan: one mask was empty
    assert details["lung_nsd_1mm"].n == 0


def test_groups_part_the_cases_and_the_truth_grades_them(found: Report) -> None:
    thickness = found.parts[0].groups["slice thickness"]
    assert {value: group.n for value, group in thickness.items()} == {THIN: 30, THICK: 30}
    severity = found.parts[1].groups[SEVERITY]
    assert sum(group.n for group in severity.values()) == 60
    assert severity["CT-0"].n == 30
    assert np.isnan(severity["CT-0"].scores["lesion_dice"].value)
    assert severity["CT-3"].scores["lesion_dice"].value == pytest.approx(0.8)
    assert list(severity) == ["CT-0", "CT-1", "CT-2", "CT-3", "CT-4"][: len(severity)]


def test_curves_are_of_the_cases_they_name(found: Report) -> None:
    roc = found.parts[1].roc
    assert set(roc) == {"all others", "CAP + atelectasis", "normal"}
    assert len(roc["normal"]) < len(roc["all others"])
    assert roc["normal"][-1] == (1.0, 1.0)


def test_the_json_is_strict_and_holds_every_case(found: Report) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    said = json.loads(found.to_json(), parse_constant=refuse)
    assert said["on"] == "2026-03-04"
    assert [case["name"] for case in said["cases"]] == [f"{KINDS[n % 6]} {n}" for n in range(60)]
    assert said["measured"][1][59]["refused"] is True
    assert said["measured"][0][0]["masks"]["lesion_rmsd_mm"] is None
    assert said["parts"][1]["models"] == "lungs by `net`, triage by `head`"


class _Tags(HTMLParser):
    """Counts what is opened and closed, and collects what is fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[str, int] = {}
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[tag] = self.open.get(tag, 0) + 1
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self.open[tag] -= 1


def test_the_page_stands_alone_and_says_what_the_report_says(found: Report) -> None:
    text = page(found)
    tags = _Tags()
    tags.feed(text)
    assert tags.fetched == []
    assert not {tag: n for tag, n in tags.open.items() if n and tag != "meta"}
    # Three contrasts, three diagnoses and two readings of the CT, and the reliability of the one with probabilities.
    assert text.count("<svg") == 3 + 3 + 2 + 1
    assert "net &lt;b&gt;" in text
    assert "net <b>" not in text
    assert str(found.parts[1].scores["lesion_dice"]) in text
    assert str(found.parts[1].decision["mcc"]) in text
    assert "Nothing here is comparable with a figure on patients" in text
    diagnosis = "diagnosis: choice between COVID-19, CAP, non-pneumonia"
    for heading in ("By slice thickness", f"By {SEVERITY}", diagnosis, "Seconds per study"):
        assert heading in text
    assert len(re.findall(r'<th scope="row">(?:covid|cap|normal|atelectasis|other) \d+</th>', text)) == 60
