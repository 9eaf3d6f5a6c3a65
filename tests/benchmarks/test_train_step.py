"""The benchmark of the training step runs, at a size that takes seconds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks/train_step.py"


def test_both_are_measured_and_compared():
    small = "image_size=64,fpn_num_filters=16,fpn_cell_repeats=1,box_class_repeats=1"
    command = [sys.executable, str(SCRIPT), f"--hparams={small}", "--batch=2", "--steps=1", "--rounds=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = dict(re.findall(r"│ (ours|Keras fit) *│ (\d+\.\d+)", done.stdout))
    assert set(rows) == {"ours", "Keras fit"}
    assert re.search(r"overhead [+-]\d+\.\d%", done.stdout)
