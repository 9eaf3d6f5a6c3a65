"""What is read back is what the exporter wrote, and damage is a sentence."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from efficientdet.config import Config
from efficientdet.errors import ModelError
from efficientdet.label_map import LabelMap
from efficientdet.tflite_flatbuffer import pack_model, unpack_model
from efficientdet.tflite_metadata import LABELS_FILE, pack_with_metadata
from efficientdet.tflite_metadata_reader import TFLiteMetadata, read_metadata

CUT = b"PK\x03\x04"


@pytest.fixture(scope="module")
def whole(tiny_export: Any) -> bytes:
    return (tiny_export.folder / "model_int8.tflite").read_bytes()


def test_what_the_exporter_wrote(tiny_export: Any):
    outputs = ("location", "category", "score", "number of detections")
    expected = TFLiteMetadata(outputs, LABELS_FILE, ("cat", "dog", "bird"), (0.0,), (1.0,))
    assert read_metadata(tiny_export.folder / "model_int8.tflite") == expected


def test_labels_are_lines_whatever_the_names_hold(whole: bytes, tmp_path: Path):
    model = unpack_model(whole)
    model.metadata = []
    names = ["two\nlines", "Ä\u2028Ö", "plain"]
    (tmp_path / "m.tflite").write_bytes(pack_with_metadata(model, Config(), LabelMap.from_names(names)))
    assert read_metadata(tmp_path / "m.tflite").labels == ("two lines", "Ä Ö", "plain")


def test_a_file_without_metadata(whole: bytes, tmp_path: Path):
    model = unpack_model(whole)
    model.metadata = []
    (tmp_path / "m.tflite").write_bytes(pack_model(model))
    with pytest.raises(ModelError, match="has no TFLITE_METADATA, without which MediaPipe and the Task API refuse it"):
        read_metadata(tmp_path / "m.tflite")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_a_sentence(whole: bytes, tmp_path: Path, share: float):
    (tmp_path / "m.tflite").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"m\.tflite: its TFLite metadata cannot be read .* export the model again"):
        read_metadata(tmp_path / "m.tflite")


def test_metadata_that_are_something_else(whole: bytes, tmp_path: Path):
    (tmp_path / "m.tflite").write_bytes(whole.replace(b"M001", b"M999"))
    with pytest.raises(ModelError, match=r"begins with b'M999', not b'M001'"):
        read_metadata(tmp_path / "m.tflite")


def test_labels_that_are_not_packed(whole: bytes, tmp_path: Path):
    path = tmp_path / "m.tflite"
    path.write_bytes(whole[: whole.index(CUT)])
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("config.yaml", "")
    with pytest.raises(ModelError, match=r"labels\.txt"):
        read_metadata(path)
