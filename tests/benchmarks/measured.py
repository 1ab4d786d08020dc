"""What a benchmark hands back, and how it is shown: our time beside a peer's, taken in turns in the same run."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Milliseconds for one of `what`, ours and the peer's."""

    what: str
    ours_ms: float
    peer: str
    peer_ms: float

    @property
    def ratio(self) -> float:
        """How many times as long as the peer we take."""
        return self.ours_ms / self.peer_ms


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(repeats: int, contenders: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The shortest of `repeats` rounds for each contender, who measures itself.

    In turns, so that whatever else the machine does meets all of them; the shortest, because it meets that least.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            taken[name].append(contender())
    return {name: min(found) for name, found in taken.items()}


def machine() -> str:
    """The machine in words, without its name."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory_gb = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({model}), {memory_gb:.0f} GB, Python {platform.python_version()}, "
        f"load average {load:.1f} when it began"
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def table(found: Sequence[Measured]) -> str:
    """A Markdown table, aligned so that it reads well on a terminal too."""
    rows = [("what", "ours", "peer", "peer's", "ours / peer's")]
    rows += [(m.what, _time(m.ours_ms), m.peer, _time(m.peer_ms), f"{m.ratio:.2f}") for m in found]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def _time(ms: float) -> str:
    return f"{ms:.2f} ms" if ms < 10 else f"{ms:.0f} ms" if ms < 10_000 else f"{ms / 1000:.1f} s"
