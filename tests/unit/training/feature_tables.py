"""A feature table as the authors of COVID-MTL publish it, with made-up patients."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np

from models.feature_names import NAMES
from training.datasets.ictcf import PERSON, TASKS

COLUMNS = (*PERSON, *(column for column, _ in TASKS.values()), *NAMES, "split")
TELLING = "LLL_glcm_Imc1"  # the one feature that knows the labels


def rows_of(patients: int = 60, seed: int = 1) -> list[dict[str, object]]:
    """Patients 1 to `patients`, a third of them for the test; patients 1 and 2 share every feature."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for patient in range(1, patients + 1):
        severity = patient % 3
        values = dict(zip(NAMES, rng.normal(100.0, 20.0, len(NAMES)).round(6).tolist(), strict=True))
        values[TELLING] = round(float(rng.normal(4.0 * severity, 1.0)), 6)
        values["Minimum"] = 1.0  # constant, as in the published table (D30)
        rows.append(
            {
                "PID": patient,
                "Hospital": "HUST-Union Hospital" if patient % 4 else "HUST-Liyuan Hospital",
                "Age": 30 + patient % 50,
                "Gender": "Male" if patient % 2 else "Female",
                "COVIDCT": int(severity > 0),
                "COVIDNC": int(severity > 0),
                "COVIDSeverity": severity,
                **values,
                "split": "test" if patient % 5 in (0, 1) else "train",
            }
        )
    rows[1].update({name: rows[0][name] for name in NAMES})
    return rows


def write(path: Path, rows: list[dict[str, object]], columns: tuple[str, ...] = COLUMNS) -> Path:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path
