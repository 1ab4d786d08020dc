"""What a data set is and what it holds: records alone, nothing is opened here.

Kinds are those of the stored libraries: covid, cap, normal, other. A lung mask is brought to the project's convention:
parenchyma, consolidation, nodules and tumour are in; effusion, trachea, main bronchi and hilar trunks are out. A lesion
is ground glass or consolidation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MM, HU, LUNGS = "mm", "hu", "lungs"  # what a case may leave unknown: size of a pixel, Hounsfield units, the lungs


@dataclass(frozen=True, kw_only=True)
class Image:
    """Where the picture is: a volume file, a PNG or JPEG, or all instances of a DICOM series."""

    paths: tuple[Path, ...]
    slice: int | None = None  # of a file that stacks slices of different patients: this one
    grey_hu: tuple[float, float] | None = None  # of 8-bit values: HU of 0 and of 255
    placed_by: Path | None = None  # another file's header says where the voxels are, this one's does not


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Where a mask is and what its numbers mean. `known` None: any number may occur, and all but 0 are inside."""

    path: Path
    inside: frozenset[int] = frozenset({1})
    known: frozenset[int] | None = frozenset({1})  # besides 0
    slice: int | None = None
    by_place: bool = False  # laid on the image by both headers; else voxel by voxel, whatever its header says
    mirrored: bool = False  # its first axis runs the other way than the image's


@dataclass(frozen=True, kw_only=True)
class Case:
    """One scan. `lesions` None: nobody drew them, unless `without_lesions` says that there are none."""

    id: str
    patient: str  # parts of a split are parts of the patients; never shown
    kind: str  # of `stored.KINDS`, if all is well
    image: Image
    lungs: Mask | None = None
    not_lungs: tuple[Mask, ...] = ()  # what the lung mask holds beside lung, such as effusion
    lesions: Mask | None = None
    without_lesions: bool = False
    split: str | None = None  # train, validation or test, where it is known; else by the patient (`split.part`)
    unknown: frozenset[str] = frozenset()
    facts: Mapping[str, str] = field(default_factory=dict)  # for sub-groups, such as {"grade": "CT-2"}


Cases = Callable[[Path], Iterator[Case]]  # of an unpacked folder, lazily; raises DataError where it is none


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set as published. `cases` None: there are no files for everybody, and `note` says why."""

    name: str
    title: str
    url: str
    licence: str
    citation: str
    masks: str  # whose masks of what, and how they are brought to the convention above
    classes: Sequence[str]  # kinds that occur
    size: str  # as published
    layout: str = ""  # folders and files, as `cases` reads them
    shares: Mapping[str, float] = field(default_factory=lambda: {"train": 0.85, "validation": 0.15})
    cases: Cases | None = None
    expected: tuple[str, ...] = ()  # identifiers of all cases, where the publisher fixed them
    note: str = ""


def label(number: int, *others: int) -> frozenset[int]:
    """Numbers of a mask."""
    return frozenset({number, *others})
