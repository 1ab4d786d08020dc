"""Which images go: what is expired always, what was read only as far as the disk needs it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from triaged.retention import Disk, choose

SIZES = {"old": 100, "a": 10, "b": 20, "c": 30}


def _chosen(expired: list[str], others: list[str], disk: Disk, mark: float) -> list[str]:
    return [r.study_uid for r in choose(expired, others, SIZES.__getitem__, disk, mark)]


def test_on_an_empty_disk_only_the_expired_go() -> None:
    assert _chosen(["old"], ["a", "b"], Disk(used_bytes=10, available_bytes=990), 85.0) == ["old"]


def test_on_a_full_disk_those_read_first_go_until_it_is_below_its_mark() -> None:
    disk = Disk(used_bytes=875, available_bytes=125)
    assert _chosen([], ["a", "b", "c"], disk, 85.0) == ["a", "b"]


def test_what_the_expired_free_counts() -> None:
    disk = Disk(used_bytes=875, available_bytes=125)
    assert _chosen(["old"], ["a", "b", "c"], disk, 85.0) == ["old"]


def test_each_removal_says_why() -> None:
    chosen = choose(["old"], ["a"], SIZES.__getitem__, Disk(used_bytes=990, available_bytes=10), 85.0)
    assert [r.why for r in chosen] == ["older than retention_days", "the disk is above 85 %"]


@given(
    sizes=st.lists(st.integers(0, 400), max_size=8),
    used=st.integers(0, 1000),
    mark=st.floats(1.0, 100.0),
)
def test_no_more_goes_than_the_mark_asks_for(sizes: list[int], used: int, mark: float) -> None:
    by_uid = {str(i): size for i, size in enumerate(sizes)}
    disk = Disk(used_bytes=used, available_bytes=1000 - used)
    chosen = [r.study_uid for r in choose([], list(by_uid), by_uid.__getitem__, disk, mark)]
    assert chosen == list(by_uid)[: len(chosen)]
    freed = sum(by_uid[uid] for uid in chosen)
    if chosen:
        assert freed - by_uid[chosen[-1]] < disk.above(mark)
    if len(chosen) < len(by_uid):
        assert freed >= disk.above(mark)
