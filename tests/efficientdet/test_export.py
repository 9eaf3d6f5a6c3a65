"""A bundle is whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from efficientdet.bundle import verify_manifest
from efficientdet.errors import DataError
from efficientdet.export import export_bundle


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


def test_a_failed_export_leaves_the_older_bundle(tiny_export: Any, tmp_path: Path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(DataError, match="there is no image"):
        export_bundle(tiny_export.model, tiny_export.config, tiny_export.label_map, [], folder)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["bundle", "bundle/old"]
