"""Every data set by its name: one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from training.datasets.public import (
    becquerel,
    cancer500,
    covid_ct,
    dlsc_covid,
    ictcf,
    luna16,
    medseg29,
    medseg100,
    mosmed20,
    mosmed1110,
    nsclc,
    own,
    triage_test,
)
from training.datasets.public.case import Case, DataSet
from training.datasets.stored import DataError

DATA_SETS: Mapping[str, DataSet] = {
    module.DATA_SET.name: module.DATA_SET
    for module in (
        mosmed1110,
        medseg29,
        medseg100,
        covid_ct,
        dlsc_covid,
        ictcf,
        luna16,
        nsclc,
        mosmed20,
        cancer500,
        triage_test,
        becquerel,
        own,
    )
}


def data_set(name: str) -> DataSet:
    """Raises DataError on a name that is none."""
    if name not in DATA_SETS:
        raise DataError(f"no data set {name}; there are {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def cases_of(found: DataSet, folder: Path) -> Iterator[Case]:
    """The cases in a folder. Raises DataError where it is none of this data set, or has no files for everybody."""
    if found.cases is None:
        raise DataError(f"{found.title} cannot be read: {found.note}")
    return found.cases(folder)
