"""COVID-MTL, tables 3 and 4 (Bao et al.), its losses with and without Shift3D and features, and its transfer.

A phantom has no nucleic acid test and no course of disease: these labels are simulated, so nothing is ordered here and
no conclusion is drawn. Networks with one task are trained once for each. Forests are fitted on the features of the same
patients.
"""

from __future__ import annotations

from training import reported
from training.columns import area_spread, mean_area, of_task, rate
from training.comparison import Column, Row, Section, Study, Training
from training.reported import Cells

NOTE = (
    "Labels of NAT and severity are simulated, that of CT is whether there is pneumonia: nothing here supports a "
    "conclusion, and no ordering is claimed."
)
FORESTS = {"RF": "random-forest", "LGBM": "lightgbm"}
SINGLE = {"ResNet3D": "resnet3d", "SqueezeNet3D": "squeezenet3d", "ShiftNet3D": "shiftnet3d"}
LOSSES = {"random": "random-weighted", "uncertainty": "uncertainty", "mean": "mean"}
TRANSFER = Training(recipe="covid-mtl-transfer")


def _joint(*changes: str) -> dict[str, Training]:
    return {"": Training(recipe="covid-mtl", changes=changes)}


def _by_task(recipe: str, *tasks: str) -> dict[str, Training]:
    return {task: Training(recipe=recipe, changes=(f"task={task}",)) for task in tasks}


def _columns(task: str, prefix: str = "") -> tuple[Column, ...]:
    """The paper's five, weighted by the size of the class."""
    return (
        Column(name=f"{prefix}precision", metric=of_task(task, rate("weighted precision")), part=task),
        Column(name=f"{prefix}recall", metric=of_task(task, rate("weighted recall")), part=task),
        Column(name=f"{prefix}F1", metric=of_task(task, rate("weighted F1")), part=task),
        Column(name=f"{prefix}accuracy %", metric=of_task(task, rate("accuracy")), part=task, scale=100, digits=2),
        Column(name=f"{prefix}AUC", metric=of_task(task, mean_area), part=task),
    )


def _ablation() -> tuple[Row, ...]:
    rows = []
    for weighting, words in LOSSES.items():
        for shift in ("true", "false"):
            for features in ("false", "true"):
                said = [words, "Shift3D" if shift == "true" else "no Shift3D", "features" if features == "true" else ""]
                changes = (f"weighting={weighting}", f"shift={shift}", f"features={features}")
                rows.append(Row(name=", ".join(part for part in said if part), parts=_joint(*changes)))
    return tuple(rows)


# Section 5.4: of the transfer without Shift3D the text has three numbers.
_WITHOUT: Cells = {"recall": 0.654, "accuracy %": 65.41, "AUC": 0.810, "AUC sd": 0.024}
_SEVERITY_SPREAD = Column(name="AUC sd", metric=of_task("severity", area_spread), part="severity")

STUDY = Study(
    name="covid-mtl",
    title="COVID-MTL",
    budget="every network sees 400 volumes: 100 batches of 4, the transfer's new layer 240 more",
    sections=(
        Section(
            title=reported.DIAGNOSIS.title,
            paper=reported.DIAGNOSIS,
            note=NOTE,
            ordered=False,
            columns=(*_columns("CT", "CT "), *_columns("NAT", "NAT ")),
            rows=(
                *(Row(name=name, parts=_by_task(recipe, "CT", "NAT", "severity")) for name, recipe in FORESTS.items()),
                *(Row(name=name, parts=_by_task(recipe, "CT", "NAT", "severity")) for name, recipe in SINGLE.items()),
                Row(name="COVID-MTL w/o Shift3D", parts=_joint("shift=false"), headline=True),
                Row(name="COVID-MTL Shift3D", parts=_joint(), headline=True),
                Row(name="COVID-MTL Shift3D + features", parts=_joint("features=true")),
            ),
        ),
        Section(
            title=reported.SEVERITY.title,
            paper=reported.SEVERITY,
            note=NOTE,
            ordered=False,
            columns=(*_columns("severity"), _SEVERITY_SPREAD),
            rows=(
                *(Row(name=name, parts=_by_task(recipe, "CT", "NAT", "severity")) for name, recipe in FORESTS.items()),
                *(Row(name=name, parts=_by_task(recipe, "CT", "NAT", "severity")) for name, recipe in SINGLE.items()),
                Row(name="COVID-MTL", parts=_joint(), headline=True),
                Row(name="COVID-MTL (Transfer)", parts={"": TRANSFER}, headline=True),
            ),
        ),
        Section(
            title="COVID-MTL, Fig. 9 and section 5: losses, Shift3D and features",
            note=f"The paper has curves and no numbers. {NOTE}",
            ordered=False,
            columns=tuple(
                Column(name=f"{task} {what}", metric=of_task(task, statistic), scale=scale, digits=digits)
                for task in ("CT", "NAT", "severity")
                for what, statistic, scale, digits in (
                    ("accuracy %", rate("accuracy"), 100.0, 2),
                    ("AUC", mean_area, 1.0, 3),
                )
            ),
            rows=_ablation(),
        ),
        Section(
            title="COVID-MTL, section 5.4: the transfer to severity with and without Shift3D",
            note=NOTE,
            ordered=False,
            columns=(*_columns("severity"), _SEVERITY_SPREAD),
            rows=(
                Row(
                    name="Transfer, Shift3D",
                    parts={"": TRANSFER},
                    headline=True,
                    paper={row.name: row.paper for row in reported.SEVERITY.rows}["COVID-MTL (Transfer)"],
                ),
                Row(
                    name="Transfer, no Shift3D",
                    parts={"": Training(recipe="covid-mtl-transfer", changes=("shift=false",))},
                    paper=_WITHOUT,
                ),
            ),
        ),
    ),
)
