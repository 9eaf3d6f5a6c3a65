"""The Trainer node hands everything to the training loop and writes what it gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tfx.types import Channel, standard_artifacts

from components import trainer
from components.trainer import training
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
    assert node.exec_properties["run_fn"] == "components.trainer.training.run_fn"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs the Trainer's function without the training; what it asked for."""
    asked: dict[str, Any] = {}

    def train(config: Config, label_map: LabelMap, *patterns: list[str], **folders: Any) -> Any:
        asked.update(config=config, label_map=label_map, patterns=patterns, **folders)
        return build_detector(config, len(label_map))

    def call(hyperparameters: dict[str, Any] | None = None) -> dict[str, Any]:
        training.run_fn(
            SimpleNamespace(
                custom_config={"config": CONFIG.to_dict(), "checkpoints": "/checkpoints", "fingerprint": "f00"},
                train_files=[f"{tmp_path}/examples/Split-train/*"],
                eval_files=[f"{tmp_path}/examples/Split-eval/*"],
                hyperparameters=hyperparameters,
                model_run_dir="/logs",
                serving_model_dir=str(tmp_path / "model" / "Format-Serving"),
            )
        )
        return asked

    monkeypatch.setattr(training, "train", train)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "label_map.json").write_text(LABELS.to_json())
    return call


def test_it_trains_from_the_configured_weights(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert run() == {
        "config": CONFIG,
        "label_map": LABELS,
        "patterns": ([f"{tmp_path}/examples/Split-train/*"], [f"{tmp_path}/examples/Split-eval/*"]),
        "checkpoints": Path("/checkpoints"),
        "logs": "/logs",
    }
    _, config, label_map = load_detector(tmp_path / "model" / "Format-Serving")
    assert (config, label_map) == (CONFIG, LABELS)


def test_tuned_hyperparameters_win_and_have_checkpoints_of_their_own(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    values = {"training.learning_rate": 0.03, "model.aspect_ratios": "[0.5,1.0,1.9]"}
    asked = dict(run({"space": [], "values": values}))
    tuned = CONFIG.override("training.learning_rate=0.03,model.aspect_ratios=[0.5,1.0,1.9]")
    assert asked["config"] == tuned
    assert asked["checkpoints"].parent == Path("/checkpoints")
    _, saved, _ = load_detector(tmp_path / "model" / "Format-Serving")
    assert saved == tuned
    other = run({"space": [], "values": values | {"training.learning_rate": 0.04}})
    assert other["checkpoints"] != asked["checkpoints"]
