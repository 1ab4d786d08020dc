"""What an analysis leaves on disk comes back as it was, whole, and replaces what a lost claim left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from triaged import artefacts
from triaged.artefacts import Artefacts, KeySlice
from triaged.masks import Masks

SHAPE = (10, 20, 31)  # 6,200 voxels: no multiple of eight slices, so that packed bits end inside a byte
UID = "2.25.1234"
KEYS = [
    KeySlice(file="key-1.png", sop_uid="2.25.7", slice_index=7, affected_fraction=0.5),
    KeySlice(file="key-2.png", sop_uid="2.25.3", slice_index=3, affected_fraction=0.25),
]


def masks(*, slices: int = SHAPE[0], with_lesions: bool = True) -> Masks:
    rng = np.random.default_rng(5)
    shape = (slices, *SHAPE[1:])
    return Masks(
        lungs=rng.integers(0, 3, shape).astype(np.uint8),
        lesions=rng.random(shape) < 0.3 if with_lesions else None,
        sources=tuple((f"2.25.{n}", n % 2 + 1) for n in range(slices)),
    )


def left(found: Masks, picture: bytes = b"picture") -> Artefacts:
    return Artefacts(
        masks=found,
        coronal_png=b"coronal",
        picture_png=picture,
        thumbnail_png=b"thumbnail",
        key_slices=[(key, key.file.encode()) for key in KEYS],
    )


@pytest.mark.parametrize("slices", [10, 9, 1])
def test_masks_come_back_slice_by_slice_with_their_sources(slices: int, tmp_path: Path) -> None:
    found = masks(slices=slices)
    read = artefacts.read_masks(artefacts.write(tmp_path, UID, 1, left(found)))
    assert read.lesions is not None
    np.testing.assert_array_equal(read.lungs, found.lungs)
    np.testing.assert_array_equal(read.lesions, found.lesions)
    assert (read.lungs.dtype, read.lesions.dtype) == (np.uint8, np.bool_)
    assert read.sources == found.sources


def test_a_method_without_lesions_is_told_from_one_that_found_none(tmp_path: Path) -> None:
    silent = artefacts.write(tmp_path, UID, 1, left(masks(with_lesions=False)))
    assert artefacts.read_masks(silent).lesions is None
    none = replace(masks(), lesions=np.zeros(SHAPE, np.bool_))
    found = artefacts.read_masks(artefacts.write(tmp_path, UID, 2, left(none))).lesions
    assert found is not None
    assert not found.any()


def test_pictures_and_key_slices_lie_beside_them(tmp_path: Path) -> None:
    folder = artefacts.write(tmp_path, UID, 1, left(masks()))
    assert folder == artefacts.folder(tmp_path, UID, 1)
    assert artefacts.read_key_slices(folder) == KEYS
    assert {p.name for p in folder.iterdir()} == {
        *("masks.npz", "coronal.png", "picture.png", "thumbnail.png", "key-slices.json", "key-1.png", "key-2.png")
    }
    assert (folder / artefacts.PICTURE).read_bytes() == b"picture"


def test_each_revision_has_its_own_folder(tmp_path: Path) -> None:
    first = artefacts.write(tmp_path, UID, 1, left(masks(), b"one"))
    second = artefacts.write(tmp_path, UID, 2, left(masks(), b"two"))
    assert [(f / artefacts.PICTURE).read_bytes() for f in (first, second)] == [b"one", b"two"]


def test_what_a_lost_claim_left_is_replaced_whole(tmp_path: Path) -> None:
    folder = artefacts.write(tmp_path, UID, 1, left(masks(), b"lost"))
    (folder / "key-9.png").write_bytes(b"of the lost one")
    artefacts.write_aside(tmp_path, UID, left(masks()))  # another one was ended before it could commit
    assert artefacts.write(tmp_path, UID, 1, left(masks())) == folder
    assert not (folder / "key-9.png").exists()
    assert artefacts.remove_unfinished(tmp_path) == 1
    assert [p.name for p in (tmp_path / UID).iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lungs": np.zeros(SHAPE, np.int16)}, "uint8"),
        ({"lungs": np.zeros(SHAPE[1:], np.uint8)}, "3-D"),
        ({"lesions": np.zeros(SHAPE, np.uint8)}, "bool array"),
        ({"lesions": np.zeros((9, 20, 31), np.bool_)}, "shape of the lungs"),
        ({"sources": (("2.25.1", 1),)}, "1 sources for 10 slices"),
    ],
)
def test_masks_that_do_not_fit_together_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(masks(), **values)  # type: ignore[arg-type]
