"""A model's digest changes with every byte that matters."""

from __future__ import annotations

from pathlib import Path

from components.bulk_inferrer.model import content_sha256


def test_a_file_a_folder_and_a_run(tmp_path: Path):
    detector = tmp_path / "run/detector"
    detector.mkdir(parents=True)
    (detector / "weights").write_bytes(b"1")
    (tmp_path / "run/log").write_bytes(b"1")
    first = content_sha256(tmp_path / "run")
    assert first == content_sha256(detector) != content_sha256(detector / "weights")
    (tmp_path / "run/log").write_bytes(b"2")
    assert content_sha256(tmp_path / "run") == first, "only the detector counts"
    (detector / "weights").rename(detector / "other")
    renamed = content_sha256(detector)
    (detector / "other").write_bytes(b"2")
    assert len({first, renamed, content_sha256(detector)}) == 3


def test_a_frozen_graph_counts_with_what_describes_it(tmp_path: Path):
    (tmp_path / "model.pb").write_bytes(b"graph")
    (tmp_path / "config.yaml").write_text("a")
    first = content_sha256(tmp_path / "model.pb")
    (tmp_path / "config.yaml").write_text("b")
    assert content_sha256(tmp_path / "model.pb") != first
