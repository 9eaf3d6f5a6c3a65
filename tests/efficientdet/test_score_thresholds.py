"""Thresholds by class in a file that is there already, as MediaPipe applies them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet.errors import ModelError
from efficientdet.mediapipe_image import mediapipe_image
from efficientdet.score_thresholds import set_score_thresholds
from efficientdet.tflite_detector import TFLiteDetector
from efficientdet.tflite_flatbuffer import unpack_model
from efficientdet.tflite_metadata import pack_raw_with_metadata


@pytest.fixture
def model(tiny_export: Any) -> Path:
    return tiny_export.folder / "model_int8.tflite"


def test_mediapipe_drops_what_scores_less_than_its_classs_threshold(
    mediapipe: Any, model: Path, tiny_export: Any, tmp_path: Path
):
    picture = tiny_export.pictures[0]
    config = tiny_export.config
    given, _ = mediapipe_image(picture, config)
    [all_of_them] = mediapipe(model, [given])
    scores = {name: sorted({one["score"] for one in all_of_them if one["name"] == name}) for name in ("cat", "dog")}
    least = {name: float(np.mean(values[:2])) for name, values in scores.items()}
    set_score_thresholds(model, least, tmp_path / "stricter.tflite")
    [kept] = mediapipe(tmp_path / "stricter.tflite", [given])
    expected = [one for one in all_of_them if one["score"] >= least.get(one["name"], 0)]
    assert len(expected) <= len(all_of_them) - 2

    def rows(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return sorted((one["name"], round(one["score"], 5), *one["box"]) for one in records)

    assert rows(kept) == rows(expected)


def test_the_network_and_what_is_packed_stay_and_the_next_call_replaces(model: Path, tiny_export: Any, tmp_path: Path):
    path = tmp_path / "copy.tflite"
    set_score_thresholds(model, {"cat": 0.9}, path)
    first = path.read_bytes()
    with zipfile.ZipFile(path) as packed:
        assert packed.read("score_calibration.txt") == b"1,1,0,0.900000\n1,1,0\n1,1,0\n"
        assert packed.read("config.yaml").decode() == tiny_export.config.to_yaml()
    set_score_thresholds(path, {"dog": 0.25, "cat": 0.5}, path)
    with zipfile.ZipFile(path) as packed:
        assert packed.read("score_calibration.txt") == b"1,1,0,0.500000\n1,1,0,0.250000\n1,1,0\n"
    set_score_thresholds(path, {"cat": 0.9}, path)
    assert path.read_bytes() == first, "the file does not grow"
    set_score_thresholds(path, {}, path)
    with zipfile.ZipFile(path) as packed:
        assert "score_calibration.txt" not in packed.namelist()
    ours, theirs = (TFLiteDetector(file, num_threads=1)([tiny_export.pictures[0]]) for file in (model, path))
    np.testing.assert_array_equal(ours.boxes, theirs.boxes)


def test_what_cannot_be_is_a_sentence_and_no_file(model: Path, tiny_export: Any, tmp_path: Path):
    for thresholds, message in (
        ({"cow": 0.5}, r"score threshold of 'cow': not a class of this model, which knows cat, dog, bird"),
        ({"cat": 1.5}, r"score threshold of 'cat': 1.5 is not from 0 to 1"),
    ):
        with pytest.raises(ModelError, match=message):
            set_score_thresholds(model, thresholds, tmp_path / "out.tflite")
    network = unpack_model(model.read_bytes())
    for i, output in enumerate(network.signatureDefs[0].outputs):
        output.name = f"class_logits_{i}".encode()
    raw = tmp_path / "raw.tflite"
    raw.write_bytes(
        pack_raw_with_metadata(network, tiny_export.config, tiny_export.label_map, "int8", np.zeros((1, 4), np.float32))
    )
    with pytest.raises(ModelError, match=r"raw\.tflite: has no post-processing"):
        set_score_thresholds(raw, {"cat": 0.5}, tmp_path / "out.tflite")
    assert not (tmp_path / "out.tflite").exists()
