"""The result tables of the four papers, as printed: what our column stands beside. Data, and the record of a table.

Transcribed from the papers (MODELS.md, ends of sections 1 to 4). Values keep the unit and the digits of print; where a
cell is no number (a mean with its deviation, "<.001") it stays text; an empty cell is None. Discrepancies inside the
papers stand as printed: SqueezeNet3D and ShiftNet3D share a row of COVID-MTL's table 4 (D26), DeepSC-COVID's AUC
differs between its tables II and III (D13).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from training.tables import markdown

Cell = float | str | None
Cells = Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method: what the paper reports of it, and what we measured (None where we did not)."""

    name: str
    paper: Cells
    ours: Cells = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of a paper beside ours. `note` says on what ours was measured and whether it may be compared."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def as_json(self) -> dict[str, object]:
        """Every row has every column, in both."""
        rows = [
            {
                "name": row.name,
                "paper": {column: row.paper.get(column) for column in self.columns},
                "ours": {column: row.ours.get(column) for column in self.columns},
            }
            for row in self.rows
        ]
        return {"title": self.title, "note": self.note, "columns": list(self.columns), "rows": rows}

    def as_markdown(self) -> str:
        """Two lines for a method that we have measured, one for one that we have not."""
        lines: list[list[str]] = []
        for row in self.rows:
            lines.append([row.name, "paper", *(_shown(row.paper.get(column)) for column in self.columns)])
            if any(row.ours.get(column) is not None for column in self.columns):
                lines.append([row.name, "ours", *(_shown(row.ours.get(column)) for column in self.columns)])
        heading = f"### {self.title}\n\n" + (f"{self.note}\n\n" if self.note else "")
        return heading + markdown(["", "", *self.columns], lines)


def _shown(cell: Cell) -> str:
    return "" if cell is None else str(cell)


def _parsed(text: str) -> Cell:
    if text in {"", "-"}:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def read(title: str, columns: Sequence[str], text: str, note: str = "") -> Table:
    """A table from lines of "name | cell | cell". Raises ValueError on a line with other than so many cells."""
    rows = []
    for line in text.strip().splitlines():
        name, *cells = (cell.strip() for cell in line.split("|"))
        rows.append(Row(name=name, paper={c: _parsed(cell) for c, cell in zip(columns, cells, strict=True)}))
    return Table(title=title, columns=tuple(columns), rows=tuple(rows), note=note)


_WEIGHTED = ("precision", "recall", "F1", "accuracy %", "AUC")

CT_TRIAGE = (
    read(
        "CT triage, table 2: identification, ranking by severity, lesion masks",
        ("AUC vs healthy", "AUC vs all others", "Spearman rho", "Dice"),
        """
        Thresholding | 0.649 | 0.567 | 0.87 | 0.45
        3D U-Net | 0.865 | 0.772 | 0.94 | 0.49
        2D U-Net | 0.890 | 0.830 | 0.98 | 0.50
        2D U-Net+ | 0.996 | 0.957 | 0.76 | 0.33
        ResNet50 | 0.966 | 0.934 | 0.45 | -
        Proposed | 0.978 | 0.951 | 0.98 | 0.48
        """,
    ),
)

COHORT = read(
    "COVID-MTL, table 1: the cohort and its split",
    ("train", "test"),
    """
    Male/Female | 465/465 | 214/185
    Age, mean ± sd | 54.67 ± 16.81 | 53.81 ± 17.80
    COVID-CT positive/negative | 701/229 | 297/102
    COVID-NAT positive/negative | 533/397 | 228/171
    Severity 0/1/2 | 397/398/135 | 171/164/64
    Union/Liyuan | 669/261 | 290/109
    """,
)
LUNGS = read(
    "COVID-MTL, table 2: lung segmentation",
    ("Dice", "Jaccard", "MCC", "precision"),
    """
    Classical | 0.971 | 0.945 | 0.966 | 0.961
    Proposed | 0.982 | 0.966 | 0.979 | 0.981
    """,
)
DIAGNOSIS = read(
    "COVID-MTL, table 3: COVID-19 against radiology (CT) and nucleic acid test (NAT)",
    ("input", *(f"{task} {column}" for task in ("CT", "NAT") for column in _WEIGHTED)),
    """
    RF | features | .861 | .865 | .862 | 86.47 | .913 | .739 | .739 | .739 | 73.93 | .819
    LGBM | features | .862 | .865 | .863 | 86.47 | .921 | .761 | .762 | .761 | 76.19 | .803
    ResNet3D | volume | .841 | .840 | .840 | 83.96 | .901 | .723 | .724 | .724 | 72.43 | .763
    SqueezeNet3D | volume | .897 | .885 | .888 | 88.47 | .931 | .713 | .707 | .708 | 70.68 | .768
    ShiftNet3D | volume | .896 | .887 | .890 | 88.72 | .939 | .762 | .762 | .762 | 76.19 | .824
    COVID-MTL w/o Shift3D | volume | .891 | .877 | .881 | 87.72 | .927 | .760 | .757 | .758 | 75.69 | .806
    COVID-MTL Shift3D | volume | .891 | .882 | .885 | 88.22 | .937 | .796 | .794 | .791 | 79.45 | .842
    COVID-MTL Shift3D + features | both | .912 | .902 | .905 | 90.23 | .939 | .791 | .792 | .792 | 79.20 | .846
    """,
)
SEVERITY = read(
    "COVID-MTL, table 4: severity, three classes",
    (*_WEIGHTED, "AUC sd"),
    """
    RF | .628 | .639 | .624 | 63.91 | .791 | -
    LGBM | .630 | .647 | .632 | 64.66 | .784 | -
    ResNet3D | .546 | .556 | .549 | 55.64 | .737 | -
    SqueezeNet3D | .655 | .659 | .653 | 65.91 | .794 | -
    ShiftNet3D | .655 | .659 | .653 | 65.91 | .794 | -
    COVID-MTL | .666 | .667 | .649 | 66.67 | .800 | .020
    COVID-MTL (Transfer) | .647 | .669 | .632 | 66.92 | .813 | .021
    """,
)
WELCH = read(
    "COVID-MTL, table 5: Welch's analysis of variance of 24 features, all 1,329 cases",
    (*(f"{task} {column}" for task in ("CT", "NAT", "severity") for column in ("F", "df2", "p")), "significant"),
    """
HLL_glcm_ClusterProminence | 43.06 | 340.89 | <.001 | 61.80 | 604.97 | <.001 | 30.86 | 472.32 | <.001 | yes
LHL_glcm_Idmn | 30.06 | 530.47 | <.001 | 30.43 | 1198.09 | <.001 | 18.10 | 540.37 | <.001 | yes
Maximum | 80.41 | 441.28 | <.001 | 57.10 | 956.95 | <.001 | 29.73 | 542.92 | <.001 | yes
Energy | 2.49 | 451.09 | .115 | <.01 | 1096.54 | .986 | 10.52 | 514.79 | <.001 | no
LLL_glcm_Imc1 | 409.21 | 668.77 | <.001 | 167.23 | 1208.49 | <.001 | 112.46 | 541.73 | <.001 | yes
HLL_glcm_Correlation | 29.58 | 512.00 | <.001 | 1.65 | 1119.28 | .199 | 1.19 | 591.13 | .306 | no
LLH_glcm_Correlation | 3.89 | 604.49 | .049 | 7.79 | 1321.56 | .005 | 6.45 | 539.50 | .002 | no
LHH_glcm_ClusterShade | 77.59 | 393.65 | <.001 | 114.05 | 817.28 | <.001 | 75.90 | 529.59 | <.001 | yes
HLH_glrlm_LongRunLowGrayLevelEmphasis | 54.96 | 689.20 | <.001 | 68.80 | 1306.63 | <.001 | 37.82 | 489.17 | <.001 | yes
HLH_glcm_ClusterShade | 70.23 | 402.28 | <.001 | 127.16 | 868.70 | <.001 | 82.64 | 522.13 | <.001 | yes
Idn | 13.55 | 530.18 | <.001 | 7.65 | 1158.71 | .006 | 6.35 | 546.89 | .002 | no
LLH_glcm_ClusterShade | 2.96 | 489.89 | .086 | .05 | 1191.24 | .832 | .21 | 595.76 | .807 | no
LargeAreaHighGrayLevelEmphasis | 1.07 | 537.72 | .300 | <.01 | 1311.65 | .993 | 4.31 | 515.67 | .014 | no
LHH_glrlm_ShortRunHighGrayLevelEmphasis | 44.66 | 360.21 | <.001 | 50.89 | 702.63 | <.001 | 27.48 | 475.40 | <.001 | yes
Idmn | 8.63 | 534.83 | .003 | .72 | 1146.50 | .395 | 1.32 | 549.05 | .268 | no
GrayLevelVariance | 84.66 | 442.59 | <.001 | 124.43 | 1030.40 | <.001 | 63.26 | 582.43 | <.001 | yes
HHH_glcm_ClusterShade | 62.03 | 377.48 | <.001 | 108.32 | 753.05 | <.001 | 64.82 | 534.31 | <.001 | yes
LLL_glcm_Imc2 | 346.27 | 630.78 | <.001 | 107.75 | 1178.31 | <.001 | 93.34 | 546.17 | <.001 | yes
LLL_glrlm_RunEntropy | 47.48 | 548.11 | <.001 | 2.72 | 1237.29 | .100 | 43.13 | 515.62 | <.001 | no
LLH_glcm_ClusterProminence | 29.54 | 429.01 | <.001 | 25.00 | 1032.16 | <.001 | 14.92 | 598.86 | <.001 | yes
HLL_glcm_DifferenceVariance | 129.02 | 383.67 | <.001 | 143.71 | 792.11 | <.001 | 71.98 | 567.16 | <.001 | yes
Imc2 | 279.23 | 651.74 | <.001 | 48.15 | 1178.92 | <.001 | 54.21 | 530.26 | <.001 | yes
LLL_glcm_Correlation | 171.47 | 512.35 | <.001 | 173.88 | 1138.84 | <.001 | 89.70 | 539.75 | <.001 | yes
Imc1 | 253.18 | 673.94 | <.001 | 51.66 | 1208.52 | <.001 | 42.87 | 533.73 | <.001 | yes
    """,
)
COVID_MTL = (COHORT, LUNGS, DIAGNOSIS, SEVERITY, WELCH)

AMYAR = (
    read(
        "Amyar et al., table 2: lesion masks and classification of slices",
        ("Dice %", "accuracy", "sensitivity", "specificity", "AUC"),
        """
        T1&T2 | 68.94 | - | - | - | -
        T1&T3 | - | .76 | .60 | .90 | .86
        T2&T3 | 70.28 | .77 | .67 | .87 | .85
        T1&T2&T3, 512 | 76.09 | .85 | .75 | .94 | .92
        T1&T2&T3, 256 (proposed) | 78.52 | .86 | .94 | .79 | .93
        U-Net 512 | 67.14 | - | - | - | -
        U-Net 256 | 69.09 | - | - | - | -
        CNN 8 layers | - | .73 | .75 | .71 | .83
        """,
    ),
)

DEEPSC = (
    read(
        "DeepSC-COVID, table II: lesion segmentation, mean (sd) over test scans",
        ("modality", "time s", "DSC %", "sensitivity %", "specificity %", "NSD %", "RMSD mm"),
        """
        Human expert | 3D | 869.2 | 60.3 (10.8) | 61.2 (7.2) | 88.7 (1.2) | 60.2 (3.6) | 12.8 (4.1)
        U-Net++ L1 | 2D | 1.0 | 61.2 (5.7) | 66.7 (6.4) | 90.9 (0.8) | 62.4 (3.6) | 13.6 (2.3)
        U-Net++ L4 | 2D | 8.2 | 65.3 (6.2) | 71.3 (5.8) | 92.8 (0.6) | 66.8 (3.1) | 9.6 (2.6)
        DenseVNet | 3D | 2.8 | 63.7 (7.4) | 69.2 (5.9) | 92.1 (0.7) | 63.6 (2.7) | 7.8 (3.1)
        COPLE-Net | 2D | 10.8 | 67.2 (6.8) | 73.4 (7.2) | 93.2 (0.6) | 68.3 (1.9) | 5.2 (2.2)
        FSS-2019-nCov | 2D | 8.7 | 67.9 (7.6) | 74.1 (5.2) | 93.8 (0.7) | 68.8 (2.1) | 5.4 (3.0)
        DeepSC w/o Cls. | 3D | 1.1 | 66.2 (7.7) | 72.7 (4.9) | 92.7 (0.8) | 64.3 (2.8) | 6.2 (2.5)
        DeepSC-COVID | 3D | 2.2 | 73.3 (8.5) | 80.2 (6.8) | 95.6 (0.7) | 71.8 (2.6) | 2.8 (1.6)
        """,
    ),
    read(
        "DeepSC-COVID, table II: diagnosis, three classes, mean (sd)",
        ("modality", "time s", "accuracy %", "sensitivity %", "specificity %", "F1 %", "AUC %"),
        """
        Human expert | 3D | 378.7 | 95.8 (0.4) | 96.0 (0.4) | 97.9 (0.7) | 95.7 (0.3) | -
        ResNet-50 | 2D | 9.2 | 77.7 (0.7) | 79.2 (0.2) | 87.7 (0.6) | 77.9 (0.8) | 92.0 (0.1)
        3D ResNet-50 | 3D | 0.6 | 82.5 (0.2) | 82.5 (0.7) | 90.6 (0.2) | 82.0 (0.5) | 94.5 (0.2)
        COVNet | 2D | 5.3 | 87.2 (0.8) | 87.6 (0.3) | 93.7 (0.4) | 87.5 (0.3) | 97.4 (0.1)
        DeCoVNet | 3D | 2.3 | 89.2 (0.5) | 89.0 (0.4) | 94.3 (0.2) | 88.9 (0.8) | 98.3 (0.1)
        DeepSC w/o Seg. | 3D | 0.7 | 85.2 (0.4) | 85.3 (0.2) | 91.9 (0.3) | 84.9 (0.1) | 94.4 (0.2)
        DeepSC-COVID | 3D | 2.2 | 94.5 (0.3) | 94.7 (0.2) | 97.3 (0.5) | 94.2 (0.6) | 98.8 (0.1)
        """,
    ),
    read(
        "DeepSC-COVID, table III: the task-aware loss at one scale or several",
        ("accuracy %", "cls sensitivity %", "AUC %", "DSC %", "seg sensitivity %", "NSD %"),
        """
        single scale | 90.9 | 90.3 | 98.6 | 70.3 | 77.9 | 69.3
        multi-scale | 94.5 | 94.7 | 99.2 | 73.3 | 80.2 | 71.8
        """,
    ),
)

PAPERS: Mapping[str, tuple[Table, ...]] = {
    "ct-triage": CT_TRIAGE,
    "covid-mtl": COVID_MTL,
    "amyar": AMYAR,
    "deepsc": DEEPSC,
}
