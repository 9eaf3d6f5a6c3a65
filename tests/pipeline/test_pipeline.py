"""What reaches the Trainer node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig
from pipeline.pipeline import create_pipeline, training_inputs


def trainer_settings(config: PipelineConfig) -> dict[str, Any]:
    """The settings that the Trainer is called with; all of them are part of its cache key."""
    nodes = create_pipeline(config, config.root, data="f00", baseline="").components
    [trainer] = [node for node in nodes if node.id == "Trainer"]
    return json.loads(trainer.exec_properties["custom_config"])


def test_where_to_start_from_reaches_the_trainer(config: PipelineConfig, tmp_path: Path) -> None:
    model = {"weights": str(tmp_path / "d0.h5"), "weights_classes": "coco", "backbone_weights": None}
    settings = trainer_settings(config.override({"detector": {"model": model}}))
    assert settings["config"]["model"].items() >= model.items()


def test_the_trainer_runs_again_for_other_bytes_of_a_checkpoint(config: PipelineConfig, tmp_path: Path) -> None:
    (tmp_path / "d0.h5").write_bytes(b"one")
    config = config.override({"detector": {"model": {"weights": str(tmp_path / "d0.h5")}}})
    before = trainer_settings(config)
    assert before["fingerprint"] == training_inputs(config, "f00")
    assert before["checkpoints"] == f"{config.root}/checkpoints/{before['fingerprint']}"
    assert trainer_settings(config) == before
    (tmp_path / "d0.h5").write_bytes(b"two")
    after = trainer_settings(config)
    assert after["config"] == before["config"]
    assert after["fingerprint"] != before["fingerprint"]
    assert after["checkpoints"] != before["checkpoints"]
