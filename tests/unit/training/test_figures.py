"""Plots as text: what they show is what was measured."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from training import figures

SCORES = np.array([0.9, 0.8, 0.8, 0.7, 0.4, 0.4, 0.2, 0.1])
POSITIVE = np.array([1, 1, 0, 1, 0, 1, 0, 0], np.bool_)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_curve_is_the_librarys_and_equal_scores_are_one_step() -> None:
    fall_out, sensitivity, _ = roc_curve(POSITIVE, SCORES, drop_intermediate=False)
    found = np.array(figures.roc_points(SCORES, POSITIVE))
    assert found[:, 0] == pytest.approx(fall_out)
    assert found[:, 1] == pytest.approx(sensitivity)


def test_a_roc_plot_has_a_curve_per_pipeline_and_says_whose() -> None:
    points = figures.roc_points(SCORES, POSITIVE)
    drawn = ElementTree.fromstring(figures.roc({"a < b: AUC 0.8": points, "other": points[::2]}, "ROC & more"))
    curves = drawn.findall(f"{SVG}polyline")
    assert [len(curve.attrib["points"].split()) for curve in curves] == [2, len(points), len(points[::2])]
    assert curves[1].attrib["points"].split()[0] == f"{figures.LEFT}.0,{figures.TOP + figures.SIDE}.0"
    assert curves[1].attrib["points"].split()[-1] == f"{figures.LEFT + figures.SIDE}.0,{figures.TOP}.0"
    words = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"a < b: AUC 0.8", "other", "sensitivity"} <= set(words)
    assert drawn.findtext(f"{SVG}title") == "ROC & more"


def test_a_reliability_plot_has_a_point_per_bin_where_it_belongs() -> None:
    drawn = ElementTree.fromstring(figures.reliability(SCORES, POSITIVE, "reliability"))
    circles = drawn.findall(f"{SVG}circle")
    assert [circle.findtext(f"{SVG}title") for circle in circles] == [f"{n} cases" for n in (1, 1, 2, 1, 2, 1)]
    last = circles[-1].attrib  # one case of score 0.9, and positive
    assert float(last["cx"]) == pytest.approx(figures.LEFT + 0.9 * figures.SIDE, abs=0.1)
    assert float(last["cy"]) == pytest.approx(figures.TOP, abs=0.1)
