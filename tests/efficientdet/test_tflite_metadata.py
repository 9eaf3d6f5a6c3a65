"""The metadata says what MediaPipe asks for, read back field by field."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from flatbuffers.encode import Get
from flatbuffers.number_types import Float32Flags, UOffsetTFlags
from flatbuffers.table import Table

from efficientdet.tflite_flatbuffer import unpack_model
from efficientdet.tflite_metadata import pack_with_metadata


class Reader:
    """A flatbuffer table by field number, independent of the writer."""

    def __init__(self, content: bytes, position: int) -> None:
        self.table = Table(content, position)

    def at(self, slot: int) -> int:
        offset = self.table.Offset(4 + 2 * slot)
        assert offset, f"field {slot} is absent"
        return offset + self.table.Pos

    def text(self, slot: int) -> str:
        return self.table.String(self.at(slot)).decode()

    def has(self, slot: int) -> bool:
        return bool(self.table.Offset(4 + 2 * slot))

    def real(self, slot: int) -> float:
        return Get(Float32Flags.packer_type, self.table.Bytes, self.at(slot))

    def number(self, slot: int) -> int:
        return self.table.Bytes[self.at(slot)]

    def child(self, slot: int) -> Reader:
        return Reader(self.table.Bytes, self.table.Indirect(self.at(slot)))

    def children(self, slot: int) -> list[Reader]:
        start, count = self.vector(slot)
        return [Reader(self.table.Bytes, self.table.Indirect(start + 4 * i)) for i in range(count)]

    def floats(self, slot: int) -> list[float]:
        start, count = self.vector(slot)
        return [Get(Float32Flags.packer_type, self.table.Bytes, start + 4 * i) for i in range(count)]

    def vector(self, slot: int) -> tuple[int, int]:
        offset = self.table.Offset(4 + 2 * slot)
        return self.table.Vector(offset), self.table.VectorLen(offset)


def read_metadata(file: bytes) -> Reader:
    model = unpack_model(file)
    [entry] = [entry for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
    content = bytes(model.buffers[entry.buffer].data)
    assert content[4:8] == b"M001"
    return Reader(content, Get(UOffsetTFlags.packer_type, content, 0))


@pytest.fixture
def metadata(tiny_export: Any) -> Reader:
    return read_metadata((tiny_export.folder / "model_int8.tflite").read_bytes())


def test_image_is_raw_rgb_pixels(metadata: Reader):
    assert metadata.text(0) == "efficientdet-lite0"
    [graph] = metadata.children(3)
    [image] = graph.children(2)
    assert image.text(0) == "image"
    assert image.child(3).child(1).number(0) == 1, "RGB"
    [unit] = image.children(4)
    assert (unit.child(1).floats(0), unit.child(1).floats(1)) == ([0.0], [1.0]), "no normalisation outside"
    assert "resized to 64 x 64 without changing its aspect ratio" in image.text(1)
    assert "(127, 127, 127)" in image.text(1), "the colour of the rest"


def test_scores_have_the_threshold_of_suppression_and_no_calibration(metadata: Reader, tiny_export: Any):
    [graph] = metadata.children(3)
    [score] = [output for output in graph.children(3) if output.text(0) == "score"]
    [unit] = score.children(4)
    assert unit.number(0) == 3, "ScoreThresholdingOptions"
    assert unit.child(1).real(0) == pytest.approx(tiny_export.config.nms.score_threshold)
    assert not score.has(6), "no calibration file"


def test_thresholds_by_class_are_a_calibration_with_least_scores(tiny_export: Any):
    """All classes are given one, so the least of them is the threshold of all."""
    model = unpack_model((tiny_export.folder / "model_int8.tflite").read_bytes())
    least = {"cat": 0.4, "dog": 0.25, "bird": 0.9}
    content = pack_with_metadata(model, tiny_export.config, tiny_export.label_map, None, least)
    [graph] = read_metadata(content).children(3)
    [score] = [output for output in graph.children(3) if output.text(0) == "score"]
    thresholding, calibration = score.children(4)
    assert thresholding.child(1).real(0) == pytest.approx(0.25)
    assert (calibration.number(0), calibration.child(1).number(0)) == (2, 2), "calibration after an inverse logistic"
    [file] = score.children(6)
    assert (file.text(0), file.number(2)) == ("score_calibration.txt", 4), "TENSOR_AXIS_SCORE_CALIBRATION"


def test_packed_files_are_listed(metadata: Reader):
    assert [file.text(0) for file in metadata.children(6)] == ["config.yaml", "label_map.json"]
    assert re.fullmatch(
        r"Object detector of 3 classes, int8, calibrated on 16 images; label map [0-9a-f]{16}\.", metadata.text(1)
    )


def test_outputs_are_named_as_in_googles_published_file(metadata: Reader, shared: Path):
    """Names, group and labels of EfficientDet-Lite0's own metadata; its order is not ours."""
    golden = json.loads((shared / "data/golden/mediapipe/efficientdet_lite0_v1.json").read_text())["subgraph_metadata"][
        0
    ]
    [graph] = metadata.children(3)
    outputs = {output.text(0): output for output in graph.children(3)}
    assert list(outputs) == ["location", "category", "score", "number of detections"]
    assert set(outputs) == {output["name"] for output in golden["output_tensor_metadata"]}
    [group] = graph.children(8)
    assert group.text(0) == golden["output_tensor_groups"][0]["name"]
    location = outputs["location"].child(3).child(1)
    start, count = location.vector(0)
    order = [location.table.Bytes[start + 4 * i] for i in range(count)]
    [expected] = [o for o in golden["output_tensor_metadata"] if o["name"] == "location"]
    assert order == expected["content"]["content_properties"]["index"]
    [labels] = outputs["category"].children(6)
    assert (labels.text(0), labels.number(2)) == ("labels.txt", 3), "TENSOR_VALUE_LABELS"


def test_labels_config_and_label_map_travel_in_the_file(tiny_export: Any):
    with zipfile.ZipFile(tiny_export.folder / "model_int8.tflite") as packed:
        assert packed.read("labels.txt").decode() == "cat\ndog\nbird\n"
        assert packed.read("label_map.json").decode() == tiny_export.label_map.to_json()
        assert packed.read("config.yaml").decode() == tiny_export.config.to_yaml()
        assert {entry.compress_type for entry in packed.infolist()} == {zipfile.ZIP_STORED}
