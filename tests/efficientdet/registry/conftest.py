"""Bundles of a few bytes in the real layout, and a registry that holds two of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE, write_manifest
from efficientdet.registry import Registry, open_registry

WriteBundle = Callable[[str], Path]


@pytest.fixture(scope="session")
def write_bundle(tmp_path_factory: pytest.TempPathFactory) -> WriteBundle:
    """Writes a whole bundle, each time anew; the text makes its content."""

    def write(text: str) -> Path:
        folder = tmp_path_factory.mktemp("bundle")
        files = {
            f"{SAVED_MODEL_FOLDER}/saved_model.pb": "graph",
            f"{SAVED_MODEL_FOLDER}/variables/variables.index": text,
            TFLITE_FILE: text * 100,
            "label_map.json": "[]",
            "config.yaml": "{}",
        }
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        write_manifest(folder, architecture="efficientdet-lite0")
        return folder

    return write


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, write_bundle: WriteBundle) -> Registry:
    """`digits` versions 1 (with metrics and a document) and 2 (champion); do not change them."""
    folder = tmp_path_factory.mktemp("registry")
    blessing = folder / "blessing.json"
    blessing.write_text('{"outcome": "BLESSED"}')
    registry = open_registry(folder / "registry")
    metrics = {"float": {"AP": 0.5, "APs": None}, "int8": {"AP": 0.49, "APs": float("nan")}}
    registry.register(write_bundle("one"), "digits", metrics=metrics, tags={"data": "f00"}, documents=[blessing])
    second = registry.register(write_bundle("two"), "digits")
    registry.set_alias("digits", "champion", second.version)
    return registry
