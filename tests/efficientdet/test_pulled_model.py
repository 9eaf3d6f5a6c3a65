from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet.bundle import TFLITE_FILE, verify_manifest, write_manifest
from efficientdet.errors import RegistryError
from efficientdet.pulled_model import pull
from efficientdet.registry import Registry, open_registry
from efficientdet.tflite_flatbuffer import unpack_model

EXPLAINED = {"config.yaml", "label_map.json"}
SAVED_MODEL = {"saved_model/saved_model.pb", "saved_model/variables/variables.index"}


@pytest.mark.parametrize(
    ("file_format", "files"),
    [("tflite", {"model.tflite"}), ("saved_model", SAVED_MODEL), ("all", {"model.tflite", *SAVED_MODEL})],
)
def test_each_format_has_plain_names_and_its_own_manifest(
    registry: Registry, tmp_path: Path, file_format: str, files: set[str]
) -> None:
    version = pull(registry, "digits", tmp_path / "a" / "b", file_format)
    manifest = verify_manifest(tmp_path / "a" / "b")
    assert set(manifest["files"]) == files | EXPLAINED
    assert (
        manifest["registered"] == {"name": "digits", "version": version.version} == {"name": "digits", "version": "2"}
    )


def test_a_second_pull_replaces_the_first_and_nothing_else(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    pull(registry, "digits@1", tmp_path, "all")
    pull(registry, "digits@2", tmp_path, "tflite")
    assert (tmp_path / "model.tflite").read_text() == "two" * 100
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"model.tflite", "manifest.json", "notes.txt", *EXPLAINED}


def test_a_pull_that_fails_leaves_the_earlier_one(registry: Registry, tmp_path: Path) -> None:
    pull(registry, "digits@1", tmp_path / "model")
    with pytest.raises(RegistryError, match="'9'"):
        pull(registry, "digits@9", tmp_path / "model")
    assert verify_manifest(tmp_path / "model")["registered"]["version"] == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_file_is_no_folder_to_pull_into(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RegistryError, match="is a file; give a folder"):
        pull(registry, "digits", tmp_path / "file")
    with pytest.raises(RegistryError, match="format 'onnx': not one of tflite, saved_model, all"):
        pull(registry, "digits", tmp_path / "out", "onnx")


def test_files_no_pull_wrote_are_never_replaced(registry: Registry, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "config.yaml"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(RegistryError, match=r"config\.yaml: no pull wrote this file"):
        pull(registry, "digits", tmp_path / "out")
    assert [path.name for path in mine.parent.iterdir()] == ["config.yaml"]
    mine.unlink()
    pull(registry, "digits", tmp_path / "out", "saved_model")
    pull(registry, "digits", tmp_path / "out", "tflite")
    assert not (tmp_path / "out" / "saved_model").exists()


@pytest.fixture(scope="module")
def real(tiny_export: Any, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """`pets`, whose version 1 was evaluated: thresholds of its int8 file alone; version 2 was not."""
    root = tmp_path_factory.mktemp("real")
    (root / "thresholds.json").write_text(json.dumps({"int8": {"cat": 0.4, "dog": 0.3, "bird": 0.5}}))
    registry = open_registry(root / "registry")
    tags = {"thresholds": "documents/thresholds.json"}
    shutil.copytree(tiny_export.folder, root / "bundle")
    shutil.copy(root / "bundle" / TFLITE_FILE, root / "bundle/model_float16.tflite")
    write_manifest(root / "bundle")
    registry.register(root / "bundle", "pets", tags=tags, documents=[root / "thresholds.json"])
    registry.register(tiny_export.folder, "pets")
    return registry


def test_thresholds_change_the_metadata_of_what_is_pulled_and_nothing_else(real: Registry, tmp_path: Path) -> None:
    pull(real, "pets@1", tmp_path / "as_it_is")
    pull(real, "pets@1", tmp_path / "strict", "all", thresholds=True)
    assert set(verify_manifest(tmp_path / "strict")["files"]) > {"model.tflite", *EXPLAINED}
    assert not (tmp_path / "strict/documents").exists()
    plain, strict = (tmp_path / each / "model.tflite" for each in ("as_it_is", "strict"))
    with zipfile.ZipFile(strict) as packed:
        assert packed.read("score_calibration.txt") == b"1,1,0,0.400000\n1,1,0,0.300000\n1,1,0,0.500000\n"
    with zipfile.ZipFile(plain) as packed:
        assert "score_calibration.txt" not in packed.namelist()
    before, after = (unpack_model(path.read_bytes()) for path in (plain, strict))
    described = {entry.buffer for model in (before, after) for entry in model.metadata}
    weights = [[b.data for i, b in enumerate(model.buffers) if i not in described] for model in (before, after)]
    assert len(weights[0]) == len(weights[1]) > 100
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_variant_is_pulled_by_its_name(real: Registry, tmp_path: Path) -> None:
    pull(real, "pets@1", tmp_path / "half", variant="float16")
    assert set(verify_manifest(tmp_path / "half")["files"]) == {"model.tflite", *EXPLAINED}
    with pytest.raises(RegistryError, match=r"pets@2 holds no 'model_float16\.tflite'; it holds .*model_int8\.tflite"):
        pull(real, "pets@2", tmp_path / "none", variant="float16")


@pytest.mark.parametrize(
    ("reference", "file_format", "variant", "said"),
    [
        ("pets@2", "tflite", "int8", "pets@2: was registered without the thresholds of an evaluation"),
        ("pets@1", "saved_model", "int8", "format 'saved_model': thresholds are for a TFLite"),
        ("pets@1", "tflite", "float16", "holds no thresholds of 'float16'; pull without them"),
    ],
)
def test_thresholds_that_are_not_there(
    real: Registry, tmp_path: Path, reference: str, file_format: str, variant: str, said: str
) -> None:
    with pytest.raises(RegistryError, match=said):
        pull(real, reference, tmp_path / "out", file_format, variant, thresholds=True)
    assert not (tmp_path / "out").exists()
