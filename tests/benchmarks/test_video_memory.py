from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import video_memory
from tests.efficientdet.square_model import write_square_model


def test_it_prints_a_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    model = write_square_model(tmp_path / "squares.tflite")
    monkeypatch.setattr(sys, "argv", ["video_memory.py", f"--model={model}", "--frames=40"])
    video_memory.main()
    early, late, ratio = (float(word) for word in capsys.readouterr().out.split() if "." in word)
    assert late / early == pytest.approx(ratio, abs=0.01)
