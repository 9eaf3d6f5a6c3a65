from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = ["--count", "12", "--image-size", "64", "--batch-size", "4"]


def run(*words: str) -> str:
    command = [sys.executable, "benchmarks/input_pipeline.py", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_prints_shares_of_the_decoder_and_what_it_skips(tmp_path: Path) -> None:
    printed = run("speed", *SMALL, "--batches", "2", "--rounds", "1", "--reference", str(tmp_path))
    assert f"google/automl's loader is skipped: {tmp_path} names no folder with it" in printed.replace("\n", "")
    rows = re.findall(r"│ ([\w ]+?) +│ (\d+) +│ (\d+)%", printed)
    assert [name for name, *_ in rows] == ["decode only", "none", "flip and jitter", "autoaugment v2", "mosaic"]
    assert rows[0][2] == "100"
    assert all(int(rate) > 0 for _, rate, _ in rows)


def test_prints_the_wait_of_a_training_step() -> None:
    printed = run("wait", *SMALL, "--steps", "2")
    assert re.search(r"lite0, flip and jitter: 2 steps of 4 images, [\d.]+ s each, of which [\d.]+% waiting", printed)
