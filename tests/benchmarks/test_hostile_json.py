from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_memory_does_not_grow_with_the_file() -> None:
    command = [sys.executable, "benchmarks/hostile_json.py", "--entries", "20000", "80000"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    small, large = (line.split() for line in run.stdout.splitlines())
    assert (small[0], large[0]) == ("20000", "80000")
    assert float(large[6]) < 1.3 * float(small[6]), "MiB at the peak"
