from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_prints_a_ratio_and_no_difference() -> None:
    command = [sys.executable, "benchmarks/coco_metric.py", "--images", "60", "--rounds", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    [line] = [line for line in run.stdout.splitlines() if line.startswith("efficientdet.coco_metric")]
    assert "ratio" in run.stdout
    assert line.endswith("largest difference 0.0e+00")
