from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_starting_takes_well_under_a_second() -> None:
    run = subprocess.run(
        [sys.executable, "benchmarks/import_time.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds = {line[:22].strip(): float(line[22:].split()[0]) for line in run.stdout.splitlines()}
    assert list(seconds) == ["python -c pass", "import efficientdet", "efficientdet --help"]
    assert max(seconds.values()) < 1
