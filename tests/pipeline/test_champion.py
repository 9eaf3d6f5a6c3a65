"""Whom a candidate is compared with, and what the registry has lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from efficientdet.bundle import write_manifest
from efficientdet.label_map import LabelMap
from efficientdet.registry import open_registry
from pipeline.champion import lost_pushes, resolve_baseline
from pipeline.config import PipelineConfig


def register(config: PipelineConfig, folder: Path, **tags: str) -> str:
    folder.mkdir()
    (folder / "model_int8.tflite").write_bytes(folder.name.encode())
    (folder / "label_map.json").write_text(LabelMap.from_names(["a"]).to_json())
    write_manifest(folder)
    registry = open_registry(config.registry.uri)
    version = registry.register(folder, config.registry.name, tags=tags).version
    registry.set_alias(config.registry.name, "champion", version)
    return version


def test_a_model_is_never_its_own_baseline(config, tmp_path):
    assert resolve_baseline(config, "inputs-1") == ""
    first = register(config, tmp_path / "one", inputs="inputs-1", baseline="")
    assert resolve_baseline(config, "inputs-1") == ""
    assert resolve_baseline(config, "inputs-2") == first
    second = register(config, tmp_path / "two", inputs="inputs-2", baseline=first)
    assert resolve_baseline(config, "inputs-2") == first
    assert resolve_baseline(config, "inputs-1") == second


def test_candidates_are_compared_with_the_champion(config, tmp_path):
    config = config.override("registry.alias=candidate")
    first = register(config, tmp_path / "one", inputs="inputs-1", baseline="")
    registry = open_registry(config.registry.uri)
    folder = tmp_path / "two"
    second = register(config, folder, inputs="inputs-2", baseline=first)
    registry.set_alias(config.registry.name, "champion", first)
    registry.set_alias(config.registry.name, "candidate", second)
    assert resolve_baseline(config, "inputs-3") == first


def test_a_push_into_a_registry_that_is_gone_counts_as_lost(config, tmp_path):
    assert lost_pushes(config) == ""
    version = register(config, tmp_path / "one")
    pushes = Path(config.root) / "artifacts/Pusher/pushed_model"
    for number, pushed in (("7", {"pushed": True, "name": "tiny", "version": version}), ("9", {"pushed": False})):
        (pushes / number).mkdir(parents=True)
        (pushes / number / "pushed.json").write_text(json.dumps(pushed))
    assert lost_pushes(config) == ""
    shutil.rmtree(config.registry.uri)
    assert lost_pushes(config) == "7"
