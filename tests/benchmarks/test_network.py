from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_prints_the_share_of_the_convolutions() -> None:
    command = [sys.executable, "benchmarks/network.py", "speed", "--models", "lite0", "--batches", "1"]
    command += ["--train-batch", "0", "--image-size", "64", "--rounds", "1", "--no-xla"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    [row] = [line for line in run.stdout.splitlines() if "lite0" in line]
    assert re.search(r"forward +│ 1 +│ [\d.]+ s +│ [\d.]+ s +│ \d+%", row)
