"""What consumers rely on is there in what we export, and each departure from it is named."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import anchors_for
from efficientdet.export_format import FORMATS
from efficientdet.label_map import LabelMap
from efficientdet.model_contract import saved_model_faults, tflite_faults
from efficientdet.raw_names import ANCHORS_FILE
from efficientdet.tflite_flatbuffer import pack_model, unpack_model
from efficientdet.tflite_metadata import ROLES, pack_with_metadata


@pytest.fixture
def tflite(tiny_export: Any, tmp_path: Path):
    """The faults of an exported TFLite file after `change` of its objects; `bytes` changes the file itself."""

    def faults(change=lambda model: None, config=None, labels=None, content=lambda file: file) -> list[str]:
        model = unpack_model((tiny_export.folder / "model_int8.tflite").read_bytes())
        model.metadata = []
        packed = pack_with_metadata(model, config or tiny_export.config, labels or tiny_export.label_map)
        model = unpack_model(packed)
        change(model)
        (tmp_path / "m.tflite").write_bytes(content(pack_model(model) + packed[packed.index(b"PK\x03\x04") :]))
        return tflite_faults(tmp_path / "m.tflite", tiny_export.config, tiny_export.label_map)

    return faults


def test_what_we_export_keeps_the_contract(tiny_export: Any, tflite: Any):
    config, label_map = tiny_export.config, tiny_export.label_map
    assert tflite_faults(tiny_export.folder / "model_int8.tflite", config, label_map) == []
    folder = tiny_export.folder / "Format-Serving"
    assert saved_model_faults(folder, tf.saved_model.load(str(folder)).signatures, config, label_map) == []
    assert tflite() == []


def test_suppression_may_be_a_files_own(tiny_export: Any, tflite: Any):
    assert tflite(config=tiny_export.config.override("nms.score_threshold=0.2")) == []


def test_tensors_are_held_against_names_types_and_shapes(tflite: Any):
    def change(model: Any) -> None:
        [signature], [graph] = model.signatureDefs, model.subgraphs
        places = {end.name: end.tensorIndex for end in signature.outputs}
        graph.tensors[places[b"detection_boxes"]].shape = np.array([1, 10, 4], np.int32)
        signature.outputs[[end.name for end in signature.outputs].index(b"detection_scores")].name = b"scores"
        signature.inputs[0].name = b"picture"

    assert tflite(change) == [
        "signature serving_default has no input images, but picture",
        "signature serving_default has an input picture, which no consumer knows",
        "signature serving_default: output detection_boxes is float32 [1, 10, 4], not float32 [1, 20, 4]",
        "signature serving_default has no output detection_scores, but detection_boxes, detection_classes,"
        " num_detections, scores",
        "signature serving_default has an output scores, which no consumer knows",
    ]


def test_pixels_are_written_as_they_are(tflite: Any):
    def change(model: Any) -> None:
        [graph] = model.subgraphs
        graph.tensors[graph.inputs[0]].quantization.scale = np.array([0.5], np.float32)

    assert tflite(change) == ["input images has scale 0.5 and zero point 0, but pixels are written as they are"]


def test_another_signature(tflite: Any):
    def change(model: Any) -> None:
        model.signatureDefs[0].signatureKey = b"detect"

    [fault] = tflite(change)
    assert fault.startswith('cannot be loaded by LiteRT (Invalid signature_key provided: "serving_default"')


def test_config_and_classes_are_those_of_the_bundle(tiny_export: Any, tflite: Any):
    other = LabelMap.from_names(["dog", "cat", "bird"])
    network, hashed, lines = tflite(config=tiny_export.config.override("model.fpn_filters=32"), labels=other)
    assert network == "its config.yaml describes another network than the bundle's"
    ours, theirs = tiny_export.label_map.hash, other.hash
    assert hashed == (f"its label_map.json holds dog, cat, bird ({theirs}), but the bundle's cat, dog, bird ({ours})")
    assert lines == "its labels.txt holds dog, cat, bird, but the label map cat, dog, bird"


def test_without_metadata(tflite: Any):
    def strip(model: Any) -> None:
        model.metadata = []

    assert tflite(strip) == ["has no TFLITE_METADATA, without which MediaPipe and the Task API refuse it"]
    [fault] = tflite(content=lambda file: file[: file.index(b"PK\x03\x04")])
    assert "carries no config.yaml and label_map.json" in fault


def test_metadata_that_mislead(tflite: Any):
    def normalise(file: bytes) -> bytes:
        metadata = file.index(b"M001")
        std = file.index(struct.pack("<if", 1, 1.0), metadata)  # a vector of one float
        return file[:std] + struct.pack("<if", 1, 127.5) + file[std + 8 :]

    [fault] = tflite(content=normalise)
    assert "asks clients to normalise by mean [0.0] and std [127.5]" in fault
    [fault] = tflite(content=lambda file: file.replace(b"location\0", b"locution\0"))
    roles = ", ".join(role for role, _ in ROLES.values())
    assert fault == f"its metadata names the outputs {roles.replace('location', 'locution')}, not {roles}"


class Other(tf.Module):
    """A SavedModel as somebody else's exporter writes it."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.float32, name="image")])
    def detect(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(image)[:1]
        return {"detection_boxes": tf.zeros([1, 5, 4]), "detection_scores": tf.zeros([1, 5]), "num_detections": count}


def test_another_saved_model(tiny_export: Any, tmp_path: Path):
    tf.saved_model.save(Other(), str(tmp_path), signatures={"serving_default": Other().detect})
    signatures = tf.saved_model.load(str(tmp_path)).signatures
    faults = saved_model_faults(tmp_path, signatures, tiny_export.config, tiny_export.label_map)
    assert faults[:8] == [
        "signature serving_default has no input image_bytes, but image",
        "signature serving_default has an input image, which no consumer knows",
        "signature serving_default: output detection_boxes is float32 [1, 5, 4], not float32 [any, 20, 4]",
        "signature serving_default: output detection_scores is float32 [1, 5], not float32 [any, 20]",
        "signature serving_default has no output detection_classes, but detection_boxes, detection_scores,"
        " num_detections",
        "signature serving_default: output num_detections is int32 [1], not int32 [any]",
        "has no signature images",
        "has no signature examples",
    ]
    assert "config.yaml: cannot be read" in faults[8]


def test_a_saved_model_of_the_bare_network_finds_nothing_by_itself(tiny_export: Any, tmp_path: Path):
    config = tiny_export.config.override({"export": {"post_mode": None}})
    [fault] = saved_model_faults(tmp_path, {}, config, tiny_export.label_map)
    assert fault.startswith("was exported without what comes before or after the network")


@pytest.mark.parametrize("name", sorted(kind.place for kind in FORMATS.values() if kind.runtime == "tflite"))
def test_every_tflite_format_keeps_the_contract(every_format: Any, name: str):
    assert tflite_faults(every_format.folder / name, every_format.config, every_format.label_map) == []


@pytest.fixture
def raw(every_format: Any, tmp_path: Path):
    """The faults of a file without post-processing after `change` of its objects, with other anchors if given."""

    def faults(
        change: Callable[[Any], None] = lambda model: None, anchors: bytes | None = None, labels: LabelMap | None = None
    ) -> list[str]:
        file, path = every_format.folder / "model_int8_raw.tflite", tmp_path / "raw.tflite"
        model = unpack_model(file.read_bytes())
        change(model)
        path.write_bytes(pack_model(model))
        with zipfile.ZipFile(file) as packed, zipfile.ZipFile(path, "a") as repacked:
            for name in packed.namelist():
                other = anchors if anchors is not None and name == ANCHORS_FILE else packed.read(name)
                repacked.writestr(name, other)
        return tflite_faults(path, every_format.config, labels or every_format.label_map)

    return faults


def test_raw_outputs_are_held_against_the_pyramid(raw: Any):
    def change(model: Any) -> None:
        [signature], [graph] = model.signatureDefs, model.subgraphs
        places = {end.name: end.tensorIndex for end in signature.outputs}
        graph.tensors[places[b"class_logits_0"]].shape = np.array([1, 8, 8, 18], np.int32)
        graph.tensors[places[b"box_deltas_4"]].quantization.scale = None

    assert raw(change) == [
        "signature serving_default: output class_logits_0 is int8 [1, 8, 8, 18], not int8 [1, 8, 8, 27]",
        "output box_deltas_4 has no scale, without which nobody knows what its int8 stands for",
    ]


def test_anchors_are_those_of_the_outputs(raw: Any, every_format: Any):
    stream = io.BytesIO()
    np.save(stream, np.zeros((7, 4), np.float32))
    count = len(anchors_for(every_format.config).boxes)
    assert raw(anchors=stream.getvalue()) == [
        f"its anchors.npy holds [7, 4], but the network answers for {count} anchors"
    ]
    assert "its anchors.npy cannot be read" in raw(anchors=b"no array")[0]


def test_a_raw_file_of_other_classes(raw: Any):
    assert any("its label_map.json holds cat, dog, bird" in fault for fault in raw(labels=LabelMap.from_names(["cat"])))
