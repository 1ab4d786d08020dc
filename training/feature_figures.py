"""The figures of COVID-MTL's feature analysis (Bao et al., Fig. 5, 6 and 8) from the feature table, as PDF and PNG.

Where the paper is silent we chose: average linkage for its clustering by Pearson's correlation, its 16 significant
features, and age groups of twenty years. The two patients of Fig. 8 are those of the authors' COVID-ML.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.cluster import hierarchy

from training import reported
from training.datasets.ictcf import FeatureTable
from training.loop import TrainingError
from training.tabular import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
COLOURS = ("#4477aa", "#ee9944", "#aa3355", "#228866")  # told apart in grey and by the colour-blind
REACH = 3.0  # standard deviations at which the heat map's colours end
DPI = 200

Values = NDArray[np.float64]


def draw(table: FeatureTable, folder: Path) -> list[Path]:
    """Every figure that this table allows, each as PDF and PNG. Raises TrainingError without Matplotlib."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"box-plots": box_plots(table), "heat-map": heat_map(table)}
    if np.isin((INFECTED, NORMAL), table.patients).all():
        figures["two-cases"] = two_cases(table)
    paths = [folder / f"{name}.{kind}" for name in figures for kind in ("pdf", "png")]
    for path in paths:
        figures[path.stem].savefig(path, dpi=DPI)
    return paths


def box_plots(table: FeatureTable) -> Figure:
    """Fig. 5: ten features, scaled to [0, 1] on all patients, by the classes of each task."""
    figure = _figure(11.0, 8.5)
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
        axes.legend(loc="upper right", fontsize=7)
    return figure


def heat_map(table: FeatureTable) -> Figure:
    """Fig. 6: patients and features in the order of their clustering by correlation, z-scored, with what is known of
    each patient above."""
    columns = np.stack([table.column(name) for name in SIGNIFICANT], axis=1)
    z = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    of_patients, of_features = clustered(z), clustered(z.T)
    figure = _figure(11.0, 6.5)
    tree, known, map_ = figure.subplots(3, 1, height_ratios=(1.0, 1.1, 5.0))
    hierarchy.dendrogram(of_patients, ax=tree, no_labels=True, color_threshold=0, above_threshold_color="black")
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
    map_.set_xlabel(f"{len(table)} patients")
    map_.set_xticks([])
    figure.colorbar(picture, ax=map_, label="z-score", fraction=0.02)
    return figure


def two_cases(table: FeatureTable) -> Figure:
    """Fig. 8: ten features of an infected and of a normal patient, each over the larger of the two."""
    values = _two(table)
    figure = _figure(6.0, 5.0)
    axes = figure.subplots()
    places = np.arange(len(TEN))
    for number, name in enumerate((f"infected (patient {INFECTED})", f"normal (patient {NORMAL})")):
        axes.barh(places + (0.5 - number) * 0.38, values[number], height=0.36, color=COLOURS[1 - number], label=name)
    axes.set_yticks(places, labels=list(TEN), fontsize=8)
    axes.set_xlabel("value over the larger of the two")
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
    return np.asarray(ten / ten.max(axis=0))


def _scaled(table: FeatureTable) -> Values:
    ten = table.features[:, [table.names.index(name) for name in TEN]]
    return Scale.of(ten)(ten)


def _named(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), labels=[name.replace("_glcm_", "\n") for name in names], fontsize=7)


def _colours() -> object:
    from matplotlib.colors import ListedColormap

    return ListedColormap(COLOURS)


def _figure(width: float, height: float) -> Figure:
    """Inches. No pyplot: nothing is kept, and no window system is asked for."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TrainingError("Matplotlib is not installed: pip install 'triaged[train]'") from error
    return Figure(figsize=(width, height), layout="constrained")
