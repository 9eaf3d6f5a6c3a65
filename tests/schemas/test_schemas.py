"""The schema files: found by name, and in step with what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

import schemas


def test_the_detection_schema_lists_the_keys_that_are_written() -> None:
    text_format = pytest.importorskip("google.protobuf.text_format")
    schema_pb2 = pytest.importorskip("tensorflow_metadata.proto.v0.schema_pb2")
    np = pytest.importorskip("numpy")
    example = pytest.importorskip("efficientdet.data.example")
    from efficientdet.label_map import LabelMap

    schema = text_format.Parse(Path(schemas.path("detection.pbtxt")).read_text(), schema_pb2.Schema())
    none = np.zeros(0)
    image = example.AnnotatedImage("1", "a.png", b"", "png", 1, 1, none.reshape(0, 4), none, none, none, none)
    written = example.to_example(image, LabelMap.from_names(["a"])).features.feature
    kinds = {"bytes_list": schema_pb2.BYTES, "int64_list": schema_pb2.INT, "float_list": schema_pb2.FLOAT}
    kinds_written = {key: kinds[value.WhichOneof("kind")] for key, value in written.items()}
    assert kinds_written.items() <= {f.name: f.type for f in schema.feature}.items()
    assert {f.name for f in schema.feature if f.HasField("presence")} | {"image/encoded"} == kinds_written.keys()


def test_an_unknown_schema_names_the_known() -> None:
    with pytest.raises(FileNotFoundError, match=r"there are detection\.pbtxt"):
        schemas.path("detectoin.pbtxt")
