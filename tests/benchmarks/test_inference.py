"""The benchmark of inference runs, at a size that takes seconds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks/inference.py"


def test_files_and_the_saved_model_are_compared() -> None:
    small = "image_size=64,fpn_num_filters=16,fpn_cell_repeats=1,box_class_repeats=1"
    command = [sys.executable, str(SCRIPT), f"--hparams={small}", "--rounds=2", "--batches=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for numbers in ("float32", "int8"):
        assert re.search(rf"│ {numbers} +│.*│ [\d.]+, [\d.]+ +│ +│ -?[\d.]+%, -?[\d.]+%", done.stdout)
        assert re.search(rf"│ {numbers} classifier +│", done.stdout)
    assert re.search(r"│ end to end +│ 2 +│.*│ [+-][\d.]+% +│ [+-][\d.]+%", done.stdout)
