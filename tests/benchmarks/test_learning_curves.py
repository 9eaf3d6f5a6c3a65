"""The curves of a run are drawn from its event files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tensorflow as tf
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "benchmarks/learning_curves.py"


def draw(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)


def test_curves_of_two_runs(tmp_path: Path):
    for name, value in (("one", 2.0), ("two", 3.0)):
        with tf.summary.create_file_writer(str(tmp_path / name)).as_default() as writer:
            for step in (20, 40):
                tf.summary.scalar("loss/loss", value / step, step)
            tf.summary.scalar("eval/AP", 0.5, 40)
            writer.flush()
    done = draw(f"a={tmp_path}/one", f"b={tmp_path}/two", "--output", f"{tmp_path}/curves.png")
    assert done.returncode == 0, done.stderr
    assert "a: loss without L2 0.050 after 40 steps" in done.stdout
    assert "b: AP of the eval split 0.500 after 40 steps" in done.stdout
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 1000


def test_a_folder_without_events_is_named(tmp_path: Path):
    done = draw(f"a={tmp_path}", "--output", f"{tmp_path}/curves.png")
    assert done.returncode == 1
    assert "holds no losses" in done.stderr
