"""Held-out phantoms: a fixed mix, each case the same for ever, and nothing of the place that trains."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.severity import LEFT, RIGHT
from training.cases import HeldOut
from training.datasets import heldout
from training.datasets.heldout import COUNT, MIX, SPACINGS_MM, HeldOutPhantoms, kind_of
from training.phantom import batch
from training.phantom.population import MAIN, SHIFTED, Kind

SMALL = HeldOutPhantoms(count=60, pixels=80, slice_mm=24.0)


def _number(kind: Kind) -> int:
    return next(n for n in range(SMALL.count) if kind_of(n) is kind)


@pytest.fixture(scope="module")
def covid() -> HeldOut:
    return SMALL[_number(Kind.COVID)]


def test_the_mix_is_what_is_promised_and_so_is_that_of_fewer_cases() -> None:
    assert sum(MIX.values()) == COUNT
    assert Counter(kind_of(n) for n in range(COUNT)) == MIX
    for kind, n in Counter(kind_of(n) for n in range(COUNT // 2)).items():
        assert n == pytest.approx(MIX[kind] / 2, abs=1)


def test_no_kernel_pixel_size_or_spacing_is_one_that_trains() -> None:
    assert not {kernel.name for kernel in SHIFTED.kernels} & {kernel.name for kernel in MAIN.kernels}
    assert not set(SPACINGS_MM) & set(batch.SPACINGS_MM)
    assert max(SPACINGS_MM) < 10  # patients to train on: over 300 mm in at most 33 slices


def test_a_case_carries_its_truth_its_descriptors_and_its_groups(covid: HeldOut) -> None:
    assert covid.kind == "covid"
    assert covid.volume.spacing_mm[0] == pytest.approx(24.0)
    assert covid.volume.shape[1:] == (80, 80)
    for side in (RIGHT, LEFT):
        assert 700 < (covid.labels == side).sum() * covid.volume.voxel_ml < 5000
    assert covid.lesions.any()
    assert not (covid.lesions & (covid.labels == 0)).any()
    assert covid.descriptors["count"] >= 1
    assert covid.groups["kernel"] in {kernel.name for kernel in SHIFTED.kernels}
    assert covid.groups["slice spacing"] == "24 mm"


def test_what_is_no_class_of_its_own_is_other() -> None:
    case = SMALL[_number(Kind.NODULES)]
    assert (case.kind, case.name.split()[0]) == ("other", "nodules")
    assert not case.lesions.any()


def test_a_kept_case_is_the_drawn_one_and_a_torn_one_is_drawn_again(covid: HeldOut, tmp_path: Path) -> None:
    kept, number = replace(SMALL, keep=tmp_path), _number(Kind.COVID)
    for _ in range(2):
        case = kept[number]
        assert np.array_equal(case.volume.hu, covid.volume.hu)
        assert np.array_equal(case.volume.affine_lps, covid.volume.affine_lps)
        assert np.array_equal(case.labels, covid.labels)
        assert np.array_equal(case.lesions, covid.lesions)
        assert (case.name, case.descriptors, case.groups) == (covid.name, covid.descriptors, covid.groups)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    assert np.array_equal(kept[number].lesions, covid.lesions)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:5000])
    assert np.array_equal(kept[number].lesions, covid.lesions)
    assert path.stat().st_size > 5000


def test_another_drawing_has_another_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    origins = {SMALL.origin(n) for n in range(SMALL.count)}
    assert len(origins) == SMALL.count
    assert replace(SMALL, pixels=96).origin(0) != SMALL.origin(0)
    assert replace(SMALL, count=99).origin(0) == SMALL.origin(0)
    before = SMALL.origin(0)
    monkeypatch.setattr(heldout, "_generator", lambda: "changed")
    assert SMALL.origin(0) != before


def test_spacings_do_not_tell_the_kind() -> None:
    whole = HeldOutPhantoms()
    means = {
        kind: np.mean([whole._who(n)[2] for n in range(COUNT) if kind_of(n) is kind])
        for kind in (Kind.COVID, Kind.CAP, Kind.NORMAL)
    }
    assert max(means.values()) - min(means.values()) < 1.0
    with pytest.raises(IndexError):
        whole[COUNT]
