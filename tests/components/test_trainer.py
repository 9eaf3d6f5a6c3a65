"""The Trainer node hands everything to the training loop and writes what it gives."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tfx.types import Channel, standard_artifacts

from components import trainer
from efficientdet.checkpoint import load_detector
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import build_detector

CONFIG = Config().override({"model": {"image_size": 64, "weights": "gs://bucket/d0", "weights_classes": {"1": "cat"}}})
LABELS = LabelMap.from_names(["square", "circle"])


def test_the_node_knows_config_checkpoints_and_fingerprint() -> None:
    examples, schema = Channel(type=standard_artifacts.Examples), Channel(type=standard_artifacts.Schema)
    node = trainer.detector_trainer(examples, schema, CONFIG, "/runs/checkpoints/f00", "f00")
    settings = json.loads(node.exec_properties["custom_config"])
    assert Config.parse(settings["config"]) == CONFIG
    assert (settings["checkpoints"], settings["fingerprint"]) == ("/runs/checkpoints/f00", "f00")
    assert node.exec_properties["run_fn"] == "components.trainer.run_fn"


def test_it_trains_from_the_configured_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def train(config: Config, label_map: LabelMap, *patterns: list[str], **folders: str) -> Any:
        asked.update(config=config, label_map=label_map, patterns=patterns, **folders)
        return build_detector(config, len(label_map))

    monkeypatch.setattr(trainer, "train", train)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "label_map.json").write_text(LABELS.to_json())
    files = {split: [f"{tmp_path}/examples/Split-{split}/*"] for split in ("train", "eval")}
    trainer.run_fn(
        SimpleNamespace(
            custom_config={"config": CONFIG.to_dict(), "checkpoints": "/checkpoints", "fingerprint": "f00"},
            train_files=files["train"],
            eval_files=files["eval"],
            model_run_dir="/logs",
            serving_model_dir=str(tmp_path / "model" / "Format-Serving"),
        )
    )
    assert asked == {
        "config": CONFIG,
        "label_map": LABELS,
        "patterns": (files["train"], files["eval"]),
        "checkpoints": "/checkpoints",
        "logs": "/logs",
    }
    _, config, label_map = load_detector(tmp_path / "model" / "Format-Serving")
    assert (config, label_map) == (CONFIG, LABELS)
