"""A model's digest changes with every byte that matters."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from components.bulk_inferrer.model import content_sha256


def test_a_file_a_folder_and_a_run(tmp_path: Path):
    detector = tmp_path / "run/detector"
    detector.mkdir(parents=True)
    (detector / "detector.weights.h5").write_bytes(b"1")
    (tmp_path / "run/log").write_bytes(b"1")
    first = content_sha256(tmp_path / "run")
    assert first == content_sha256(detector) == content_sha256(detector / "detector.weights.h5")
    (tmp_path / "run/log").write_bytes(b"2")
    assert content_sha256(tmp_path / "run") == first, "only the detector counts"
    (detector / "config.yaml").write_bytes(b"1")
    described = content_sha256(detector)
    (detector / "config.yaml").rename(detector / "label_map.json")
    renamed = content_sha256(detector)
    (detector / "detector.weights.h5").write_bytes(b"2")
    assert len({first, described, renamed, content_sha256(detector)}) == 4


def test_what_is_opened_of_a_trainers_folder_or_bundle_counts(tmp_path: Path):
    for name, file in (("trainer", "detector.weights.h5"), ("bundle", "saved_model.pb")):
        place = tmp_path / name / "Format-Serving" / file
        place.parent.mkdir(parents=True)
        place.write_bytes(b"1")
        (tmp_path / name / "model_int8.tflite").write_bytes(b"1")
        first = content_sha256(tmp_path / name)
        assert first == content_sha256(place.parent)
        place.write_bytes(b"2")
        assert content_sha256(tmp_path / name) != first
    assert content_sha256(tmp_path / "bundle/model_int8.tflite") == sha256(b"1").hexdigest()


def test_a_frozen_graph_counts_with_what_describes_it(tmp_path: Path):
    (tmp_path / "model.pb").write_bytes(b"graph")
    (tmp_path / "config.yaml").write_text("a")
    first = content_sha256(tmp_path / "model.pb")
    (tmp_path / "config.yaml").write_text("b")
    assert content_sha256(tmp_path / "model.pb") != first
