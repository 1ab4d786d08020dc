"""Which devices there are: one worker process runs on each. Asked without torch, which the supervisor never loads."""

from __future__ import annotations

import re
from pathlib import Path

DEVICE_NODES = Path("/dev")  # the NVIDIA driver makes one numbered node per card


def devices(wanted: str, workers: int, nodes: Path = DEVICE_NODES) -> list[str]:
    """One entry per worker: every card for "auto", else the device asked for, `workers` times each."""
    if wanted == "auto":
        cards = sorted(int(n.name[6:]) for n in nodes.glob("nvidia*") if re.fullmatch(r"nvidia\d+", n.name))
        found = [f"cuda:{card}" for card in cards] or ["cpu"]
    else:
        found = [wanted]
    return [device for device in found for _ in range(workers)]
