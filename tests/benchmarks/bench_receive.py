"""Receiving: our throughput beside dcmtk's storescp and Orthanc, with the same sender and the same images.

    python -m tests.benchmarks receive

storescp syncs nothing to disk. Orthanc does with SyncStorageArea, its default, and is the fair peer: file and index row
are durable before its Success, as file, folder and study row are before ours.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.measured import Measured, in_turns
from tests.orthanc import orthanc
from tests.support import free_port, peer, program
from tests.unit.intake.making import config_for, data_set, listening

IMAGES = 120
SIDE = 512
REPEATS = 3


def written(folder: Path, images: int, side: int) -> Path:
    """A series of noise, so that no disk or link can compress it."""
    noise = np.random.default_rng(7)
    folder.mkdir()
    for number in range(1, images + 1):
        pixels = noise.integers(-1000, 1000, (side, side), dtype=np.int16)
        ds = data_set(number, Rows=side, Columns=side, PixelData=pixels.tobytes())
        ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = (
            ds.SOPClassUID,
            ds.SOPInstanceUID,
        )
        ds.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
    return folder


def seconds_to_send(folder: Path, port: int, called: str = "TRIAGED") -> float:
    began = time.perf_counter()
    command = [peer("dcmsend"), "-aec", called, "127.0.0.1", str(port), "+sd", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    return time.perf_counter() - began


def through_storescp(folder: Path, into: Path) -> float:
    into.mkdir()
    port = free_port()
    command = [peer("storescp"), "-aet", "TRIAGED", "-pdu", "131072", "-od", str(into), str(port)]
    with subprocess.Popen(command, env={**os.environ, "TCP_NODELAY": "1"}) as server:
        time.sleep(1.0)
        try:
            return seconds_to_send(folder, port)
        finally:
            server.terminate()


def through_orthanc(folder: Path, into: Path) -> float:
    with orthanc(into, extra={"SyncStorageArea": True}) as pacs:
        return seconds_to_send(folder, pacs.dicom_port, pacs.ae_title)


def through_us(folder: Path, into: Path) -> float:
    with listening(config_for(into)) as running:
        return seconds_to_send(folder, running.port)


def run(images: int = IMAGES, side: int = SIDE, repeats: int = REPEATS) -> list[Measured]:
    """Milliseconds per image. Peers that are not installed are left out."""
    if not program("dcmsend"):
        print("receive: left out, dcmtk is not installed")
        return []
    peers = {
        "storescp, which syncs nothing": (through_storescp, program("storescp")),
        "Orthanc, SyncStorageArea": (through_orthanc, program("Orthanc")),
    }
    with tempfile.TemporaryDirectory() as name:
        top, fresh = Path(name), itertools.count()
        folder = written(top / "images", images, side)
        ways = {"ours": through_us, **{who: way for who, (way, there) in peers.items() if there}}

        def contender(way: Callable[[Path, Path], float]) -> Callable[[], float]:
            return lambda: way(folder, top / f"into-{next(fresh)}")

        best = in_turns(repeats, {who: contender(way) for who, way in ways.items()})
        size_mb = sum(p.stat().st_size for p in folder.iterdir()) / 1e6 / images
    ours_ms = 1000 * best.pop("ours") / images
    what = f"receive an image of {size_mb:.2f} MB"
    return [Measured(what=what, ours_ms=ours_ms, peer=who, peer_ms=1000 * s / images) for who, s in best.items()]
