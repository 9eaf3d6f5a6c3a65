"""A bundle is whole or not there, and every format in it finds what the network finds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet.bundle import verify_manifest, write_manifest
from efficientdet.config import Config
from efficientdet.detections import Detections
from efficientdet.detector_file import open_detector
from efficientdet.errors import ConfigError, DataError, EfficientDetError
from efficientdet.export import _put, _say_what_differs, check_export, export_bundle
from efficientdet.export_format import FORMATS
from efficientdet.label_map import LabelMap
from efficientdet.saved_model import ServingDetector
from efficientdet.tflite_detector import TFLiteDetector, read_packed


def test_bundle_holds_what_ships_and_its_sums(tiny_export: Any):
    manifest = verify_manifest(tiny_export.folder)
    assert {path.name for path in tiny_export.folder.iterdir()} == {
        "Format-Serving",
        "config.yaml",
        "label_map.json",
        "manifest.json",
        "model_int8.tflite",
    }
    assert "Format-Serving/saved_model.pb" in manifest["files"]
    assert manifest["architecture"] == "efficientdet-lite0"
    assert manifest["label_map_hash"] == tiny_export.label_map.hash
    assert [path.name for path in tiny_export.folder.parent.iterdir()] == ["bundle"], "nothing is left aside"


def test_every_format_is_in_its_place_and_knows_its_settings(every_format: Any):
    manifest = verify_manifest(every_format.folder)
    places = {file.split("/")[0] for file in manifest["files"]} - {"config.yaml", "label_map.json"}
    assert places == {FORMATS[name].place for name in every_format.config.export.formats}
    assert len(places) == len(FORMATS) - 4, "all but TensorRT and ONNX"
    beside = (Config.load(every_format.folder / "config.yaml"), LabelMap.load(every_format.folder))
    assert beside == (every_format.config, every_format.label_map)
    for file in every_format.folder.glob("*.tflite"):
        assert read_packed(file) == beside


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if kind.runtime not in ("tensorrt", "onnx")])
def test_every_format_is_opened_where_nothing_is_beside_it(every_format: Any, name: str, tmp_path: Path):
    source, alone = every_format.folder / FORMATS[name].place, tmp_path / FORMATS[name].place
    (shutil.copytree if source.is_dir() else shutil.copy)(source, alone)
    detector = open_detector(alone)
    assert detector.config == every_format.config
    assert detector.label_map.hash == verify_manifest(every_format.folder)["label_map_hash"]
    assert detector(list(every_format.pictures[:1])).count[0] > 0


@pytest.fixture(scope="module")
def expected(every_format: Any) -> Detections:
    """What the network finds."""
    serving = ServingDetector(every_format.model, every_format.config, 3)
    found = serving.detect_images(every_format.pictures)
    names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
    return Detections(*(found[name].numpy() for name in names))


def found_by(every_format: Any, name: str) -> Detections:
    return TFLiteDetector(every_format.folder / FORMATS[name].place, num_threads=1)(list(every_format.pictures))


def worst(detections: Detections, expected: Detections) -> float:
    """The largest distance, in pixels, of a corner of an expected box from the nearest box of the same class."""
    distances = [0.0]
    for (boxes, _, classes), (wanted, _, of_classes) in zip(detections, expected, strict=True):
        apart = np.abs(wanted[:, None] - boxes[None]).max(axis=-1)
        same = of_classes[:, None] == classes[None]
        # The last ones may be others where scores are equal.
        distances += list(np.where(same, apart, np.inf).min(axis=1)[:10])
    return max(distances)


@pytest.mark.parametrize(
    ("name", "pixels", "score"),
    [("tflite_float32", 0.1, 1e-4), ("tflite_float32_raw", 0.1, 1e-4), ("tflite_float16", 1.0, 1e-3)],
)
def test_floats_find_what_the_network_finds(
    every_format: Any, expected: Detections, name: str, pixels: float, score: float
):
    """Measured: 0.02 pixels and 1e-7 in float32, 0.5 pixels and 3e-5 in float16."""
    found = found_by(every_format, name)
    np.testing.assert_array_equal(found.count, expected.count)
    np.testing.assert_allclose(found.scores, expected.scores, atol=score)
    assert worst(found, expected) < pixels


@pytest.mark.parametrize("name", ["tflite_dynamic", "tflite_int8"])
def test_integers_score_like_the_network(every_format: Any, expected: Detections, name: str):
    """Scores by rank; measured 7e-4. Boxes of random weights are not comparable, see test_tflite.py for what is."""
    found = found_by(every_format, name)
    np.testing.assert_array_equal(found.count, expected.count)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.01)


@pytest.mark.parametrize(("name", "pixels"), [("tflite_int8_float_input", 1e-3), ("tflite_int8_raw", 0.1)])
def test_every_int8_file_is_the_same_network(every_format: Any, name: str, pixels: float):
    int8, found = found_by(every_format, "tflite_int8"), found_by(every_format, name)
    np.testing.assert_allclose(found.scores, int8.scores, atol=1e-5)
    assert worst(found, int8) < pixels


def test_a_failed_export_leaves_the_older_bundle(tiny_export: Any, tmp_path: Path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_manifest(folder)
    with pytest.raises(DataError, match="there is no image"):
        export_bundle(tiny_export.model, tiny_export.config, tiny_export.label_map, [], folder)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["bundle", "bundle/manifest.json"]


def test_a_folder_of_something_else_stays(tiny_export: Any, tmp_path: Path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ConfigError, match="holds other files, which an export would replace"):
        export_bundle(tiny_export.model, tiny_export.config, tiny_export.label_map, [], tmp_path)
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        export_bundle(tiny_export.model, tiny_export.config, tiny_export.label_map, [], tmp_path / "photo.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    (tmp_path / "manifest.json").write_text('{"name": "of a web page"}')
    with pytest.raises(ConfigError, match=r"would replace, as manifest\.json"):
        check_export(tiny_export.config, tmp_path)
    write_manifest(tmp_path)
    check_export(tiny_export.config, tmp_path)
    (tmp_path / "notes.md").touch()
    with pytest.raises(ConfigError, match=r"would replace, as notes\.md"):
        check_export(tiny_export.config, tmp_path)
    with pytest.raises(ConfigError, match="is a mount point"):
        check_export(tiny_export.config, Path("/dev/shm"))


def test_a_suppression_that_tflite_does_not_know_is_told(caplog: pytest.LogCaptureFixture):
    config = Config().override("nms.method=gaussian,export.formats=saved_model*tflite_int8*tflite_int8_raw")
    _say_what_differs(config)
    assert caplog.messages == [
        "tflite_int8: suppress hard at nms.iou_threshold=0.5, since TFLite's operator knows no nms.method=gaussian"
    ]
    _say_what_differs(config.override("nms.method=hard"))
    assert len(caplog.messages) == 1


def test_tensorrt_is_refused_before_any_work(tiny_export: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("efficientdet.tensorrt.is_tensorrt_enabled", lambda: False)
    config = tiny_export.config.override("export.formats=saved_model*tensorrt_fp16")
    with pytest.raises(EfficientDetError, match="finds no TensorRT"):
        export_bundle(tiny_export.model, config, tiny_export.label_map, [], tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_what_was_there_comes_back_when_its_place_cannot_be_taken(tmp_path: Path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/manifest.json").write_text("earlier")
    with pytest.raises(FileNotFoundError):
        _put(tmp_path / "lost", tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (tmp_path / "bundle/manifest.json").read_text() == "earlier"
