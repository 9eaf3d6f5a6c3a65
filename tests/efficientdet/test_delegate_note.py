"""LiteRT's note stays away from standard error, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.efficientdet.square_model import write_square_model

ROOT = Path(__file__).parents[2]
OPEN = "interpreter = Interpreter(sys.argv[1]); interpreter.allocate_tensors()"


def said(program: str, *words: object) -> subprocess.CompletedProcess[str]:
    lines = "import os, sys; from ai_edge_litert.interpreter import Interpreter\n" + program
    command = [sys.executable, "-c", lines, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_only_the_note_is_left_out(tmp_path: Path):
    model = write_square_model(tmp_path / "squares.tflite")
    assert "XNNPACK" in said(OPEN, model).stderr, "without that there is nothing to keep back"
    done = said(
        "from efficientdet.delegate_note import without_delegate_note\n"
        "print('before', file=sys.stderr)\n"
        "with without_delegate_note():\n"
        f"    {OPEN}\n"
        "    os.write(2, b'from below\\n'); print('from Python', file=sys.stderr)\n"
        "print('after', file=sys.stderr)",
        model,
    )
    assert done.stderr.splitlines() == ["before", "from below", "from Python", "after"]


def test_errors_pass_and_a_closed_stderr_is_none(tmp_path: Path):
    block = "from efficientdet.delegate_note import without_delegate_note\nwith without_delegate_note():\n    "
    done = said(f"{block}sys.stderr.write('first\\n'); raise KeyError('mine')")
    assert done.stderr.startswith("first\nTraceback")
    assert done.stderr.endswith("KeyError: 'mine'\n")
    done = said(f"os.close(2)\n{block}print('inside')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "inside\n", "")


def test_infer_says_nothing_but_what_concerns_the_images(tmp_path: Path):
    model = write_square_model(tmp_path / "squares.tflite")
    words = ["infer", f"--model={model}", f"--input={ROOT / 'docs/detections.jpg'}", f"--csv={tmp_path / 'out.csv'}"]
    done = said("from efficientdet.cli import main; sys.exit(main())", *words)
    assert (done.returncode, done.stderr) == (0, "")
