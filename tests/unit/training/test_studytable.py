"""What a study claims: intervals over cases and seeds, paired; and what its records and columns say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.volume_triage import DIAGNOSES
from training.columns import (
    area,
    area_spread,
    everyone,
    mean,
    mean_area,
    of_diagnosis,
    of_task,
    rate,
    seconds,
)
from training.comparison import Column, Section, Training, samples
from training.datasets.ictcf import TASKS
from training.measure import NAN, Case, Measured
from training.study import studies, study
from training.studydata import SETS, SIZES, plans
from training.studytable import Said, tabled
from training.train import prepared

CASES = [
    Case(name=f"{kind} {n}", kind=kind, fraction=0.1 * n, descriptors={})
    for kind in ("covid", "normal")
    for n in range(20)
]
SCORE = Column(name="AUC", metric=area(everyone))
DISTANCE = Column(name="mm", metric=mean(lambda m: m.fraction), lower_is_better=True, spread="cases", digits=1)
NOTHING = Measured(lung_dice=NAN, lesion_dice=NAN, fraction=NAN, score=NAN, seconds=1.0)


def measured(apart: float, seed: int, *, mm: float = NAN) -> list[Measured]:
    """Scores in which COVID-19 lies so far above the healthy."""
    rng = np.random.default_rng(seed)
    return [
        replace(NOTHING, score=float(rng.normal(apart * (c.kind == "covid"))), fraction=mm + rng.normal())
        for c in CASES
    ]


def section(*columns: Column, ordered: bool = True) -> Section:
    return Section(title="table", columns=columns, rows=(), ordered=ordered)


def claims(said: Mapping[str, Said], *columns: Column, ordered: bool = True) -> list[tuple[str, str, str]]:
    table = tabled(section(*columns, ordered=ordered), "", "", CASES, said, reference="truth", resamples=200)
    return [(o.column, o.better, o.worse) for o in table.orderings]


def trained(*seeds: Sequence[Measured], **changes: object) -> Said:
    return replace(Said(parts={"": list(seeds)}), **changes)


GOOD = trained(*(measured(3.0, seed) for seed in range(3)))
POOR = trained(*(measured(0.0, seed) for seed in (10, 11, 12)))


def test_an_ordering_is_claimed_where_the_interval_leaves_zero_out() -> None:
    assert claims({"good": GOOD, "poor": POOR}, SCORE) == [("AUC", "good", "poor")]
    twin = trained(*(measured(3.0, seed) for seed in (20, 21, 22)))
    assert claims({"good": GOOD, "twin": twin}, SCORE) == []


def test_no_ordering_rests_on_one_seed_on_a_part_or_on_simulated_labels() -> None:
    alone = trained(measured(0.0, 10))
    assert claims({"good": GOOD, "alone": alone}, SCORE) == []
    assert claims({"good": GOOD, "method": replace(alone, learns=False)}, SCORE) == [("AUC", "good", "method")]
    assert claims({"good": GOOD, "poor": replace(POOR, marks=("its time was up",))}, SCORE) == []
    assert claims({"good": GOOD, "truth": replace(alone, learns=False)}, SCORE) == []
    assert claims({"good": GOOD, "poor": POOR}, SCORE, ordered=False) == []
    assert claims({"good": GOOD, "poor": POOR}, replace(SCORE, ordered=False)) == []


def test_seeds_that_disagree_widen_the_interval() -> None:
    agree = trained(measured(2.0, 1), measured(2.0, 1), measured(2.0, 1))
    differ = trained(measured(0.0, 1), measured(2.0, 2), measured(4.0, 3))
    found = tabled(section(SCORE), "", "", CASES, {"agree": agree, "differ": differ}, resamples=300).answers
    widths = {name: cells["AUC"].score.high - cells["AUC"].score.low for name, cells in found.items()}
    assert widths["differ"] > 1.5 * widths["agree"]
    assert found["differ"]["AUC"].seeds == 3


def test_less_is_better_of_a_distance() -> None:
    near = trained(*(measured(0.0, seed, mm=2.0) for seed in range(3)))
    far = trained(*(measured(0.0, seed, mm=9.0) for seed in range(3)))
    assert claims({"far": far, "near": near}, DISTANCE) == [("mm", "near", "far")]
    table = tabled(section(DISTANCE), "", "", CASES, {"far": far, "near": near}, resamples=50)
    shown = {row.name: row.ours["mm"] for row in table.table.rows}
    assert str(shown["near"]).startswith(("1.", "2."))
    assert str(shown["near"]).endswith(")")
    (ordering,) = table.orderings
    assert 0 < ordering.difference.low < ordering.difference.value < ordering.difference.high


def test_cases_without_an_answer_are_told() -> None:
    said = [replace(m, score=NAN) if n < 5 else m for n, m in enumerate(measured(3.0, 1))]
    some, none = trained(said, said), trained([NOTHING] * len(CASES))
    table = tabled(section(SCORE), "", "", CASES, {"some": some, "none": none}, resamples=50)
    assert table.answers["some"]["AUC"].score.n == 35
    assert "says nothing of 5 cases" in table.marks["some"][0]
    assert table.answers["none"] == {}
    assert {row.name: row.ours["AUC"] for row in table.table.rows}["none"] is None
    assert claims({"good": POOR, "some": some}, SCORE) == [], "not on the same cases"


def test_columns_of_classes() -> None:
    likely = np.array([[0.5, 0.4, 0.1], [0.2, 0.5, 0.3], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    so = np.array([0, 1, 1, 2])
    assert rate("accuracy")(likely, so) == 0.75
    assert rate("macro recall")(likely, so) == pytest.approx((1 + 0.5 + 1) / 3)
    assert rate("macro specificity")(likely, so) == pytest.approx((2 / 3 + 1 + 1) / 3)
    areas = [2.5 / 3, 3 / 4, 1.0]
    assert mean_area(likely, so) == pytest.approx(np.mean(areas))
    assert area_spread(likely, so) == pytest.approx(np.std(areas))
    assert math.isnan(mean_area(likely[:1], so[:1]))


def test_a_class_is_read_by_its_name() -> None:
    cases = [
        replace(CASES[0], kind=kind, groups={"NAT": nat})
        for kind, nat in (("covid", "1"), ("cap", "0"), ("other", "0"))
    ]
    said = [
        replace(
            NOTHING, classes=dict(zip(DIAGNOSES, p, strict=True)) | {"NAT negative": 1 - p[0], "NAT positive": p[0]}
        )
        for p in ((0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.6, 0.1, 0.3))
    ]
    everyone_ = np.arange(3)
    assert of_diagnosis(rate("accuracy")).of(said, cases)(everyone_) == pytest.approx(2 / 3)
    assert of_task("NAT", rate("accuracy")).of(said, cases)(everyone_) == pytest.approx(2 / 3)
    assert math.isnan(of_task("CT", mean_area).value(said[0]))
    assert seconds().of(said, cases)(everyone_) == 1.0


@pytest.mark.parametrize("name", studies())
def test_every_study_names_rows_and_columns_of_the_paper_and_recipes_that_exist(name: str) -> None:
    found = study(name)
    assert found.name == name
    assert len({row.key for row in found.rows}) == len({row.name for section in found.sections for row in section.rows})
    for part in found.sections:
        if part.paper is not None:
            assert {row.name for row in part.rows} <= {row.name for row in part.paper.rows}
            assert {column.name for column in part.columns} <= set(part.paper.columns)
        for row in part.rows:
            for of in row.parts.values():
                if isinstance(of, Training) and not of.at_once:
                    for scale in SIZES:
                        recipe, plan = prepared(of.recipe, scale, of.changes_at(scale))
                        assert "triage" in recipe.card.roles
                        assert "seed" in plan


BUDGETS: list[tuple[str, float, dict[str, float | str]]] = [
    ("ct-triage", 6400, {"slices": 1, "series": "depth", "boxes": "slices"}),
    ("amyar", 400, {"slices": 1}),
    ("deepsc", 300, {"scans": 1, "series": 1, "volumes": 1, "slices": 1 / 8}),
    ("covid-mtl", 400, {"volumes": 1}),
]


@pytest.mark.parametrize(("name", "budget", "weights"), BUDGETS)
def test_every_row_sees_as_much(name: str, budget: float, weights: dict[str, float | str]) -> None:
    """Counted in what the study compares by: each sample weighs so much, or as many as that field of its plan says. The
    transfer's second stage comes on top."""
    seen = set()
    for row in study(name).rows:
        for of in row.parts.values():
            if isinstance(of, Training) and not of.at_once:
                plan = prepared(of.recipe, "small", of.changes_at("small"))[1]
                count, what = samples({**plan, "transfer_steps": 0})
                weight = weights[what]
                seen.add(count * (plan[weight] if isinstance(weight, str) else weight))
    assert seen == {budget}


def test_no_seed_is_drawn_twice() -> None:
    for scale in SIZES:
        seeds = [
            seed for plan in plans(scale).values() for seed in range(plan.first_seed, plan.first_seed + plan.count)
        ]
        assert len(seeds) == len(set(seeds))
    made = plans("small")
    assert (made["train"].count, made["validation"].count) == (200, 40)
    for name in SETS:
        assert sum(plan.count for place, plan in made.items() if place.startswith(f"{name}/")) == 100
    assert {made[place].habits.name for place in ("validation", "shifted-test/covid")} != {made["train"].habits.name}
    assert list(TASKS) == ["CT", "NAT", "severity"]
