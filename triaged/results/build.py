"""One outcome -> its result objects. Pure: no store, no network, no clock; the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from triaged.masks import Masks
from triaged.records import Choice, Findings, Role
from triaged.results.picture import build_picture, compose
from triaged.results.seg import build_seg, segments_of
from triaged.results.source import carry_lossy
from triaged.results.sr import Report, build_sr
from triaged.results.stamp import Stamp, to_bytes
from triaged.results.uids import ObjectUids, derive, result_uids

__all__ = ["Masks", "ObjectUids", "ResultInput", "build_results", "derive", "page_of", "result_uids", "to_bytes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ResultInput:
    """All that the objects of one analysed study are made from.

    `source` holds the headers of the instances analysed, pixels not needed. `projection` is the coronal view, uint8
    (row, column, RGB), head up, the patient's right on the left, colour bar included. `made_at` is aware: when the
    outcome was committed.
    """

    source: Sequence[Dataset]
    findings: Findings
    choice: Choice
    masks: Masks
    projection: NDArray[np.uint8]
    installation_uid: str
    made_at: datetime
    revision: int = 1
    institution: str = ""
    predecessor: Dataset | None = None  # header of the SR of the revision before

    def __post_init__(self) -> None:
        if self.made_at.tzinfo is None:
            raise ValueError("made_at needs a time zone")

    @property
    def study_uid(self) -> str:
        return str(self.source[0].StudyInstanceUID)

    def stamp(self, role: Role) -> Stamp:
        made_by = self.findings.provenance
        return Stamp(
            uids=result_uids(self.installation_uid, self.study_uid, self.choice, made_by)[role],
            installation_uid=self.installation_uid,
            made_at=self.made_at,
            made_by=made_by,
            institution=self.institution,
        )


def build_results(wanted: ResultInput, roles: Collection[Role] = tuple(Role)) -> dict[Role, Dataset]:
    """The objects of these roles. The SR refers to those of the others that are built with it, and to no other."""
    built: dict[Role, Dataset] = {}
    if Role.SEG in roles:
        built[Role.SEG] = build_seg(wanted.source, wanted.masks, wanted.stamp(Role.SEG))
    if Role.PICTURE in roles:
        picture = build_picture(wanted.source[0], page_of(wanted), wanted.stamp(Role.PICTURE))
        carry_lossy(wanted.source, picture)
        built[Role.PICTURE] = picture
    if Role.SR in roles:
        report = Report(
            findings=wanted.findings,
            choice=wanted.choice,
            segments=segments_of(wanted.masks, wanted.stamp(Role.SEG)),
            seg=built.get(Role.SEG),
            picture=built.get(Role.PICTURE),
            predecessor=wanted.predecessor,
        )
        built[Role.SR] = build_sr(wanted.source, report, wanted.stamp(Role.SR))
    return built


def page_of(wanted: ResultInput) -> NDArray[np.uint8]:
    """The picture's page, uint8 (row, column, RGB): the same for the PACS and, as PNG, for the board."""
    return compose(wanted.projection, wanted.findings, wanted.choice, revision=wanted.revision)
