"""COVID-MTL's analysis of features (Bao et al., sections 5 and 6): their ranking, Welch's analysis, Fig. 5, 6 and 8.

Where the paper is silent we chose: average linkage for its clustering by Pearson's correlation, its 16 significant
features, and age groups of twenty years. The ten features and the two patients of Fig. 8 are those of the authors'
COVID-ML.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster import hierarchy

from training import reported
from training.analyses import drawing
from training.analyses.drawing import COLOURS
from training.datasets.ictcf import FeatureTable
from training.reproduce import variances
from training.tabular import TREES, Scale, fit_boosting, ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

# The ten of Fig. 5 and 8, in the authors' order (COVID-ML.py).
TEN = (
    *("Maximum", "LLL_glcm_Imc1", "LHH_glcm_ClusterShade", "HLH_glcm_ClusterShade", "GrayLevelVariance"),
    *("LLL_glcm_Imc2", "HLL_glcm_DifferenceVariance", "Imc2", "LLL_glcm_Correlation", "Imc1"),
)
SIGNIFICANT = tuple(row.name for row in reported.WELCH.rows if row.paper["significant"] == "yes")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "CT": ("negative", "positive"),
    "NAT": ("negative", "positive"),
    "severity": ("control or suspected", "mild or regular", "severe or critical"),
}
INFECTED, NORMAL = 17, 567  # patients of Fig. 8
AGES = (40, 60, 80)  # years at which a group begins
# What a colour beside the heat map means, from the first on: result, severity, age, gender.
MEANINGS = (
    "negative; control or suspected; under 40 years; female",
    "positive; mild or regular; 40 to 59 years; male",
    "severe or critical; 60 to 79 years",
    "80 years or older",
)
REACH = 3.0  # standard deviations at which the heat map's colours end

Values = NDArray[np.float64]


def draw(table: FeatureTable, folder: Path) -> list[Path]:
    """Every figure that this table allows, each as PDF and PNG. Raises TrainingError without Matplotlib."""
    return [path for name, figure in figures(table).items() for path in drawing.save(figure, folder, name)]


def figures(table: FeatureTable) -> dict[str, Figure]:
    """By name; without the two cases where one of them is not in the table."""
    found = {"box-plots": box_plots(table), "heat-map": heat_map(table)}
    if np.isin((INFECTED, NORMAL), table.patients).all():
        found["two-cases"] = two_cases(table)
    return found


def numbers(table: FeatureTable) -> dict[str, Any]:
    """What the figures show, in numbers: Welch's analysis of the paper's 24 features, ours beside the paper's."""
    rows = {row.name: {"paper": dict(row.paper), "ours": variances(table, row.name)} for row in reported.WELCH.rows}
    classes = {task: np.bincount(label).tolist() for task, label in table.labels.items()}
    return {"patients": len(table), "classes": classes, "Welch": rows}


def selection(
    table: FeatureTable, progress: Callable[[str], None] = lambda words: None, *, trees: int = TREES
) -> dict[str, Any]:
    """The ten features that LightGBM asks for most in each task, fitted on the training part, and all of them together,
    of which the paper keeps 24 (section 5.1). Minutes. Raises TrainingError where LightGBM is not installed."""
    scaled = Scale.of(table.features[table.train])(table.features[table.train])
    first: dict[str, list[str]] = {}
    for task, labels in table.labels.items():
        progress(f"LightGBM, {task}")
        first[task] = ranking(fit_boosting(scaled, labels[table.train], trees=trees), table.names)
    union = sorted({name for names in first.values() for name in names})
    papers = sorted(row.name for row in reported.WELCH.rows)
    return {"ranking": first, "union": union, "paper": papers, "in both": sorted(set(union) & set(papers))}


def box_plots(table: FeatureTable) -> Figure:
    """Fig. 5: ten features, scaled to [0, 1] on all patients, by the classes of each task."""
    figure = drawing.figure(11.0, 8.5)
    values = _scaled(table)
    for axes, (task, names) in zip(figure.subplots(len(GROUPS), 1), GROUPS.items(), strict=True):
        labels = table.labels[task]
        width = 0.8 / len(names)
        for number, name in enumerate(names):
            drawn = axes.boxplot(
                [values[labels == number, f] for f in range(len(TEN))],
                positions=np.arange(len(TEN)) + (number - (len(names) - 1) / 2) * width,
                widths=0.85 * width,
                patch_artist=True,
                flierprops={"marker": ".", "markersize": 2, "markeredgecolor": COLOURS[number]},
                medianprops={"color": "black"},
            )
            for box in drawn["boxes"]:
                box.set_facecolor(COLOURS[number])
            drawn["boxes"][0].set_label(f"{name} ({int((labels == number).sum())})")
        _named(axes, TEN)
        axes.set_ylabel(f"{task}: scaled value")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, title=f"patients (n = {len(table)})")
    return figure


def heat_map(table: FeatureTable) -> Figure:
    """Fig. 6: patients and features in the order of their clustering by correlation, z-scored, with what is known of
    each patient above."""
    columns = np.stack([table.column(name) for name in SIGNIFICANT], axis=1)
    z = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    of_patients, of_features = clustered(z), clustered(z.T)
    figure = drawing.figure(11.0, 6.5)
    tree, known, map_ = figure.subplots(3, 1, height_ratios=(1.0, 1.1, 5.0))
    hierarchy.dendrogram(of_patients, ax=tree, no_labels=True, color_threshold=0, above_threshold_color="black")
    for lines in tree.collections:
        lines.set_linewidth(0.4)
    tree.set_axis_off()
    order = hierarchy.leaves_list(of_patients)
    rows = np.stack([group[order] for group in known_of(table).values()])
    known.imshow(rows, aspect="auto", interpolation="nearest", cmap=_colours(), vmin=0, vmax=len(COLOURS) - 1)
    known.set_yticks(range(len(rows)), labels=list(known_of(table)), fontsize=7)
    known.set_xticks([])
    by_feature = hierarchy.leaves_list(of_features)
    shown = z[order][:, by_feature].T
    picture = map_.imshow(shown, aspect="auto", interpolation="nearest", cmap="RdBu_r", vmin=-REACH, vmax=REACH)
    map_.set_yticks(range(len(SIGNIFICANT)), labels=[SIGNIFICANT[f] for f in by_feature], fontsize=7)
    map_.set_xlabel(f"patients (n = {len(table)})")
    map_.set_xticks([])
    figure.colorbar(picture, ax=map_, label="z-score", fraction=0.02)
    figure.legend(handles=_key(), loc="outside lower center", ncols=2, fontsize=7, frameon=False)
    return figure


def two_cases(table: FeatureTable) -> Figure:
    """Fig. 8: ten features of an infected and of a normal patient, each over the one of larger magnitude.

    The authors divide by the larger value, which takes features below 0 (Imc1) beyond the 0 to 1 of their caption.
    """
    values = _two(table)
    figure = drawing.figure(6.0, 5.0)
    axes = figure.subplots()
    places = np.arange(len(TEN))
    for number, name in enumerate((f"infected (patient {INFECTED})", f"normal (patient {NORMAL})")):
        axes.barh(places + (0.5 - number) * 0.38, values[number], height=0.36, color=COLOURS[1 - number], label=name)
    axes.set_yticks(places, labels=list(TEN), fontsize=8)
    axes.axvline(0.0, color="black", linewidth=0.6)
    axes.set_xlabel("value over that of larger magnitude")
    axes.legend(fontsize=8)
    return figure


def clustered(rows: Values) -> Values:
    """Hierarchical clustering of rows: average linkage over 1 - Pearson's r."""
    return np.asarray(hierarchy.linkage(rows, method="average", metric="correlation"), np.float64)


def known_of(table: FeatureTable) -> dict[str, NDArray[np.int64]]:
    """What stands beside the heat map, as numbers of a colour from 0 on."""
    return {
        **{task: table.labels[task] for task in GROUPS},
        "age": np.searchsorted(AGES, table.ages, side="right").astype(np.int64),
        "gender": (table.genders == "Male").astype(np.int64),
    }


def _two(table: FeatureTable) -> Values:
    pair = np.stack([table.features[table.patients == patient][0] for patient in (INFECTED, NORMAL)])
    ten = pair[:, [table.names.index(name) for name in TEN]]
    larger = np.abs(ten).argmax(axis=0)
    return np.asarray(ten / ten[larger, np.arange(len(TEN))])


def _scaled(table: FeatureTable) -> Values:
    ten = table.features[:, [table.names.index(name) for name in TEN]]
    return Scale.of(ten)(ten)


def _named(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), labels=[name.replace("_glcm_", "\n") for name in names], fontsize=7)


def _key() -> list[Patch]:
    from matplotlib.patches import Patch

    return [Patch(facecolor=colour, label=words) for colour, words in zip(COLOURS, MEANINGS, strict=True)]


def _colours() -> ListedColormap:
    from matplotlib.colors import ListedColormap

    return ListedColormap(COLOURS)
