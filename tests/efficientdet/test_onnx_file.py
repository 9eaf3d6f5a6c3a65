"""ONNX Runtime finds what the network finds, and the file knows its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet.bare_network import detections
from efficientdet.errors import ConfigError, EfficientDetError
from efficientdet.model.detector import normalise
from efficientdet.onnx_file import check_onnx, export_onnx


def test_onnx_runtime_finds_what_the_network_finds(every_format: Any, tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    config, pictures = every_format.config, every_format.pictures
    export_onnx(every_format.model, config, every_format.label_map, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    expected = detections(every_format.model(normalise(pictures, config), training=False), config, 3)
    for count in (1, len(pictures)):
        boxes, scores, classes, counts = session.run(list(expected), {"images": pictures[:count]})
        wanted = {name: values.numpy()[:count] for name, values in expected.items()}
        np.testing.assert_array_equal(counts, wanted["num_detections"])
        np.testing.assert_allclose(scores, wanted["detection_scores"], atol=1e-5)
        apart = np.abs(wanted["detection_boxes"][:, :, None] - boxes[:, None]).max(axis=-1)
        same = wanted["detection_classes"][:, :, None] == classes[:, None]
        # Which of equal scores comes first, and which of them is the last to be kept, is nobody's promise.
        assert np.where(same, apart, np.inf).min(axis=2)[:, :10].max() < 0.01
    about = session.get_modelmeta().custom_metadata_map
    assert about["config.yaml"] == config.to_yaml()
    assert about["label_map.json"] == every_format.label_map.to_json()
    assert about["label_map_hash"] == every_format.label_map.hash
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"], "nothing is left aside"


def test_what_cannot_be_converted_is_said(every_format: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("efficientdet.onnx_file.find_spec", lambda name: None)
    with pytest.raises(EfficientDetError, match=r"onnx: tf2onnx is not installed; install the `onnx` extra"):
        check_onnx(every_format.config)
    monkeypatch.setattr("efficientdet.onnx_file.find_spec", lambda name: name)
    with pytest.raises(ConfigError, match=r"nms\.method=gaussian: ONNX knows hard suppression alone"):
        check_onnx(every_format.config.override("nms.method=gaussian"))
    check_onnx(every_format.config.override("nms.method=gaussian,export.post_mode=null"))
