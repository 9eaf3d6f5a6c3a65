from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from components.evaluator.runtimes import runtimes, size
from efficientdet.blessing import Bounds


def test_latency_is_measured_where_a_ceiling_asks(examples: Path, bundle: Callable[..., Path]) -> None:
    folder, pattern = bundle(1, 2), f"{examples}/Split-eval/*"
    plain = runtimes(folder, Bounds(), pattern)
    assert plain["int8"] == {"bytes": (folder / "model_int8.tflite").stat().st_size}
    timed = runtimes(folder, Bounds.parse({"max_latency_ms": 50}, source="test"), pattern)
    assert {name: found["bytes"] for name, found in timed.items()} == {name: plain[name]["bytes"] for name in timed}
    assert all(found["latency_ms"] > 0 for found in timed.values())


def test_a_folder_is_as_large_as_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a").write_bytes(b"123")
    (tmp_path / "b").write_bytes(b"45")
    assert (size(tmp_path), size(tmp_path / "b")) == (5, 2)
