"""Receiving: our throughput beside dcmtk's storescp, in one run, with the same sender and the same images.

    python -m tests.benchmarks.bench_receive [images] [side length]

storescp syncs nothing to disk; we sync file and folder per instance. The ratio is what that, and Python, cost.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.support import free_port
from tests.unit.intake.making import config_for, data_set, listening


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


def seconds_to_send(folder: Path, port: int) -> float:
    began = time.perf_counter()
    command = ["dcmsend", "-aec", "TRIAGED", "127.0.0.1", str(port), "+sd", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    return time.perf_counter() - began


def through_storescp(folder: Path, into: Path) -> float:
    into.mkdir()
    port = free_port()
    command = ["storescp", "-aet", "TRIAGED", "-pdu", "131072", "-od", str(into), str(port)]
    with subprocess.Popen(command, env={**os.environ, "TCP_NODELAY": "1"}) as server:
        time.sleep(1.0)
        try:
            return seconds_to_send(folder, port)
        finally:
            server.terminate()


def through_us(folder: Path, into: Path) -> float:
    with listening(config_for(into)) as running:
        return seconds_to_send(folder, running.port)


def main(images: int = 200, side: int = 512) -> None:
    if not (shutil.which("storescp") and shutil.which("dcmsend")):
        print("bench_receive: skipped, dcmtk is not installed")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = written(Path(name) / "images", images, side)
        megabytes = sum(p.stat().st_size for p in folder.iterdir()) / 1e6
        theirs = through_storescp(folder, Path(name) / "storescp")
        ours = through_us(folder, Path(name) / "ours")
    print(f"{images} images, {megabytes:.0f} MB")
    for who, seconds in (("storescp", theirs), ("triaged", ours)):
        print(f"  {who:9} {seconds:6.2f} s {megabytes / seconds:7.1f} MB/s {images / seconds:7.1f} images/s")
    print(f"  ratio     {theirs / ours:6.2f} of storescp's throughput")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
