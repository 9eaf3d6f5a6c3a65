"""How long the product takes to start, against a bare Python: `python benchmarks/import_time.py`.

Prints the median seconds and the ratio to `python -c pass` of `import efficientdet` and of `efficientdet --help`,
the runs of the three interleaved so that a busy machine slows all alike.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

PROGRAMS = {
    "python -c pass": "pass",
    "import efficientdet": "import efficientdet",
    "efficientdet --help": "from efficientdet.cli import cli; cli(['--help'])",
}
RUNS = 11


def measure(runs: int = RUNS) -> dict[str, float]:
    """Median wall seconds of each program in a fresh interpreter."""
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(runs):
        for name, code in PROGRAMS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    medians = measure()
    bare = medians["python -c pass"]
    for name, median in medians.items():
        print(f"{name:22} {median:6.3f} s   {median / bare:5.1f} x a bare Python")


if __name__ == "__main__":
    main()
