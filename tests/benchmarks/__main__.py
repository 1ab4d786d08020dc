"""Every benchmark, or those that are named: ``python -m tests.benchmarks [receive|path|seg|board ...]``.

Times depend on the machine and on what else it does; the ratios are what is compared from one version to the next.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime

from tests.benchmarks import bench_board, bench_path, bench_receive, bench_seg
from tests.benchmarks.measured import Measured, machine, table

ALL: dict[str, Callable[[], list[Measured]]] = {
    "receive": bench_receive.run,
    "path": bench_path.run,
    "seg": bench_seg.run,
    "board": bench_board.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    where = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}"
    found = []
    for name in names or ALL:
        print(f"{name} ...", file=sys.stderr)
        found += ALL[name]()
    print(f"\n{where}\n\n{table(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
