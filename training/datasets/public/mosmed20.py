"""Mosmed-20: in-patients of February 2020, with whom CT triage is tested.

The form of the release was not verified here. It is read as a researcher's own folder: list its files in cases.csv.
"""

from __future__ import annotations

from training.datasets.public.case import DataSet
from training.datasets.public.own import LAYOUT, cases

DATA_SET = DataSet(
    name="mosmed-20",
    title="Mosmed-20",
    url="https://mosmed.ai/en/datasets/",
    licence="as its publisher states it",
    citation="Center for Diagnostics and Telemedicine, Moscow, 2020",
    masks="none in the release; CT triage had them drawn for its test set",
    classes=("covid", "normal"),
    size="42 studies of 20 patients; CT triage uses 38: 5 healthy, 27 CT-1, 2 CT-2, 3 CT-3, 1 CT-4",
    layout=LAYOUT,
    shares={"test": 1.0},
    cases=cases,
    note="for testing only",
)
