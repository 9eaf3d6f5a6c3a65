"""The exported file is int8 throughout and answers like the float network."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers

from efficientdet.anchors import anchors_for
from efficientdet.config import Config
from efficientdet.model.detector import normalise
from efficientdet.tflite_detector import MAX_THREADS
from efficientdet.tflite_flatbuffer import unpack_model
from efficientdet.tflite_tail import LEVEL_ANCHORS, POSTPROCESS, SPARE_CLASSES

from .conftest import SMALL, TinyExport, exported

TAIL = {"CONCATENATION", "DEQUANTIZE", "GATHER", "LOGISTIC", "MINIMUM", "PADV2", "RELU", "RESHAPE", "SUB", "TOPK_V2"}
TAIL |= {POSTPROCESS}
"""All that may follow the network in float32."""


@pytest.fixture(scope="module")
def interpreter(tiny_export: Any) -> Interpreter:
    return opened(tiny_export)


def opened(export: TinyExport) -> Interpreter:
    path = str(export.folder / "model_int8.tflite")
    interpreter = Interpreter(model_path=path, num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    return interpreter


def operators(interpreter: Interpreter) -> dict[str, list[dict]]:
    found = defaultdict(list)
    for op in interpreter._get_ops_details():
        found[op["op_name"]].append(op)
    return found


def test_every_layer_of_the_network_is_int8(interpreter: Interpreter):
    check_int8(interpreter)
    assert len(operators(interpreter)["CONV_2D"]) > 90, "the network is there"


def check_int8(interpreter: Interpreter) -> None:
    """Asserts that nothing but the tail computes in floats."""
    kinds = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    for name, ops in operators(interpreter).items():
        if name not in TAIL | {"DELEGATE", "QUANTIZE"}:
            for op in ops:
                used = {kinds[i] for i in (*op["inputs"], *op["outputs"]) if i >= 0}
                assert used <= {np.int8, np.int32}, f"{name} computes in {used}"  # int32: biases and sizes


def test_input_is_raw_pixels_and_outputs_are_those_of_the_standard_op(interpreter: Interpreter):
    [image] = interpreter.get_input_details()
    assert (image["dtype"], image["quantization"], list(image["shape"])) == (np.uint8, (1.0, 0), [1, 64, 64, 3])
    outputs = interpreter.get_output_details()
    assert [list(output["shape"]) for output in outputs] == [[1, 20, 4], [1, 20], [1, 20], [1]]
    assert {output["dtype"] for output in outputs} == {np.float32}
    assert interpreter.get_signature_list()["serving_default"]["inputs"] == ["images"]


def test_options_of_the_op_follow_the_config(tiny_export: Any):
    model = unpack_model((tiny_export.folder / "model_int8.tflite").read_bytes())
    [op] = [op for op in model.subgraphs[0].operators if op.customOptions is not None]
    options = flexbuffers.Loads(bytes(op.customOptions))
    nms = tiny_export.config.nms
    assert options["use_regular_nms"] is nms.per_class
    assert options["max_detections"] == options["detections_per_class"] == nms.max_detections
    assert options["nms_score_threshold"] == pytest.approx(nms.score_threshold)
    assert options["nms_iou_threshold"] == pytest.approx(nms.iou_threshold)
    assert options["num_classes"] == len(tiny_export.label_map) + SPARE_CLASSES


def test_scores_boxes_and_anchors_before_suppression_are_the_float_networks(tiny_export: Any, interpreter: Interpreter):
    """Random weights carry the noise of about 60 roundings to 8 bit; measured 0.996 and 0.994 here."""
    check_answers(tiny_export, interpreter)


def test_the_sizes_that_are_not_lite_are_faithful_too(tmp_path: Path):
    """Their swish, squeeze and excitation and weighted fusion in integers; measured 0.994 and 0.992."""
    config = Config().override({"model": {"name": "efficientdet-d0"}}).override(SMALL)
    export = exported(config.override("export.formats=tflite_int8"), tmp_path / "bundle")
    interpreter = opened(export)
    check_int8(interpreter)
    found = operators(interpreter)
    assert len(found["MEAN"]) == 16, "every block has its squeeze and excitation"
    assert len(found["LOGISTIC"]) > 80, "of the swish"
    check_answers(export, interpreter)


def check_answers(export: TinyExport, interpreter: Interpreter) -> None:
    """Asserts that what goes into suppression is as in the float network."""
    [op] = operators(interpreter)[POSTPROCESS]
    raw = export.model(normalise(export.pictures, export.config), training=False)
    count = len(export.pictures)
    deltas = np.concatenate([np.reshape(level, (count, -1, 4)) for level in raw.box_deltas], axis=1)
    logits = np.concatenate([np.reshape(level, (count, -1, 3)) for level in raw.class_logits], axis=1)
    ymin, xmin, ymax, xmax = anchors_for(export.config).boxes.T / 64
    anchors = np.stack([(ymin + ymax) / 2, (xmin + xmax) / 2, ymax - ymin, xmax - xmin], axis=1)
    finest = np.size(raw.box_deltas[0][0]) // 4
    found, exact = [], []
    for i, picture in enumerate(export.pictures):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        codes, scores, theirs = (interpreter.get_tensor(place) for place in op["inputs"][:3])
        # Of the finest level the strongest enter, in any order; the coarsest two have the same anchors here.
        strongest = theirs[: len(theirs) - (len(anchors) - finest)]
        entered = np.abs(strongest[:, None] - anchors[:finest]).max(axis=2).argmin(axis=1)
        entered = np.concatenate([entered, np.arange(finest, len(anchors))])
        np.testing.assert_allclose(theirs, anchors[entered], atol=1e-6)
        assert len(set(entered)) == len(entered) >= LEVEL_ANCHORS
        found.append((codes[0], scores[0, :, SPARE_CLASSES:]))
        exact.append((deltas[i, entered], 1 / (1 + np.exp(-logits[i, entered]))))
    for ours, expected in zip(zip(*found, strict=True), zip(*exact, strict=True), strict=True):
        assert np.corrcoef(np.ravel(ours), np.ravel(expected))[0, 1] > 0.98


@pytest.mark.parametrize("threads", [1, 2, 3, 4, MAX_THREADS])
def test_no_class_is_lost_whatever_the_number_of_threads(tiny_export: Any, threads: int):
    """The op skips the class numbered like its threads (tensorflow/tensorflow#56058): spare ones come first."""
    path = str(tiny_export.folder / "model_int8.tflite")
    run = Interpreter(model_path=path, num_threads=threads).get_signature_runner("serving_default")
    found = set()
    for picture in tiny_export.pictures:
        answer = run(images=picture[None])
        found |= set(answer["detection_classes"][0, : int(answer["num_detections"][0])])
    assert found == {0, 1, 2}
    assert threads < SPARE_CLASSES


def test_boxes_end_at_the_border_of_the_input(tiny_export: Any):
    """MediaPipe moves a box that begins outside of it, and keeps its size."""
    run = Interpreter(str(tiny_export.folder / "model_int8.tflite"), num_threads=1).get_signature_runner()
    answers = [run(images=picture[None]) for picture in tiny_export.pictures]
    boxes = np.concatenate([a["detection_boxes"][0, : int(a["num_detections"][0])] for a in answers])
    assert boxes.min() == 0
    assert boxes.max() == 1
