from __future__ import annotations

from pathlib import Path

import pytest

from efficientdet.bundle import verify_manifest
from efficientdet.errors import RegistryError
from efficientdet.registry import Registry
from efficientdet.registry.pull import pull

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
