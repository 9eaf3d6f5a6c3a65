"""The data's fingerprint against reading the same files: what hashing every byte costs a run that finds nothing new.

    python benchmarks/fingerprint.py [--count 2000] [--rounds 5]

Prints seconds to read all images, and to fingerprint them, in turn; `cold` with the files dropped from the operating
system's cache before each turn (where the file system heeds that), `warm` with them in memory.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from efficientdet.data.fingerprint import fingerprint

sys.path.insert(0, str(Path(__file__).parent))
from conversion import write_data_set


@click.command()
@click.option("--count", default=2000, show_default=True, help="Images.")
@click.option("--rounds", default=5, show_default=True)
def main(count: int, rounds: int) -> None:
    """Seconds of both, and their ratio."""
    table = Table("cache", "read s", "fingerprint s", "fingerprint / read")
    with tempfile.TemporaryDirectory() as folder:
        write_data_set(Path(folder, "data"), count)
        paths = sorted(Path(folder, "data/images").iterdir())
        work: dict[str, Callable[[], object]] = {
            "read": lambda: read(paths),
            "fingerprint": lambda: fingerprint(folder, paths),
        }
        for cache in ("cold", "warm"):
            times: dict[str, list[float]] = {name: [] for name in work}
            for _ in range(rounds):
                for name, function in work.items():
                    if cache == "cold":
                        drop(paths)
                    start = time.perf_counter()
                    function()
                    times[name].append(time.perf_counter() - start)
            ratio = median(b / a for a, b in zip(times["read"], times["fingerprint"], strict=True))
            table.add_row(cache, *(f"{median(times[name]):.3f}" for name in work), f"{ratio:.2f}")
    Console(width=80).print(table)


def read(paths: list[Path]) -> int:
    """All bytes, by as many threads as the fingerprint has."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(lambda path: len(path.read_bytes()), paths))


def drop(paths: list[Path]) -> None:
    """Asks the operating system to forget the files."""
    for path in paths:
        number = os.open(path, os.O_RDONLY)
        os.fsync(number)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(number)


if __name__ == "__main__":
    main()
