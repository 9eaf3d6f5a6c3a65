from __future__ import annotations

from pathlib import Path

import pytest
from tfx.types import standard_artifacts

import schemas
from components.import_schema_gen import Executor, ImportSchemaGen
from efficientdet.errors import ConfigError


def test_another_content_under_the_same_path_is_imported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ImportSchemaGen()
    assert first.outputs["schema"].type is standard_artifacts.Schema
    assert first.exec_properties == ImportSchemaGen().exec_properties
    monkeypatch.setattr(schemas, "FOLDER", tmp_path)
    (tmp_path / "detection.pbtxt").write_text('feature { name: "image/height" }')
    before = ImportSchemaGen().exec_properties
    (tmp_path / "detection.pbtxt").write_text('feature { name: "image/width" }')
    after = ImportSchemaGen().exec_properties
    assert before["schema_file"] == after["schema_file"]
    assert before["fingerprint"] != after["fingerprint"]


def test_a_container_of_another_schema_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = ImportSchemaGen().exec_properties
    monkeypatch.setattr(schemas, "FOLDER", tmp_path)
    (tmp_path / "detection.pbtxt").write_text('feature { name: "image/width" }')
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"detection\.pbtxt: is not the schema that the pipeline was compiled with"):
        Executor().Do({}, {"schema": [schema]}, compiled)
    assert not (tmp_path / "out").exists()
