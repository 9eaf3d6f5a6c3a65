"""What reaches the nodes that check the data, the Trainer, and the Tuner if there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import PipelineConfig
from pipeline.pipeline import create_pipeline, training_inputs


def nodes_of(config: PipelineConfig, baseline: str = "") -> dict[str, Any]:
    """The pipeline's nodes by id."""
    return {node.id: node for node in create_pipeline(config, config.root, data="f00", baseline=baseline).components}


def settings_of(config: PipelineConfig, node: str) -> dict[str, Any]:
    """The settings that a node's function is called with; all of them are part of its cache key."""
    return json.loads(nodes_of(config)[node].exec_properties["custom_config"])


def trainer_settings(config: PipelineConfig) -> dict[str, Any]:
    """Those of the Trainer."""
    return settings_of(config, "Trainer")


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


def test_the_validator_knows_its_bounds_and_its_baseline(config: PipelineConfig) -> None:
    config = config.override("validation.fail_on=warning,validation.max_drift=0.2")
    settings = nodes_of(config, baseline="3")["ExampleValidator"].exec_properties
    assert json.loads(settings["validation"]) == config.validation.to_dict()
    assert (settings["baseline"], json.loads(settings["registry"])["name"]) == ("3", "tiny")
    assert nodes_of(config)["StatisticsGen"].exec_properties == nodes_of(config, "3")["StatisticsGen"].exec_properties


def test_the_infra_validator_stands_before_the_pusher_with_its_limits(config: PipelineConfig) -> None:
    nodes = nodes_of(config.override("infra.max_latency_ms=40,infra.images=8"))
    limits = json.loads(nodes["InfraValidator"].exec_properties["infra"])
    assert (limits["max_latency_ms"], limits["images"], limits["max_memory_mb"]) == (40, 8, None)
    verdict = nodes["Pusher"].inputs["infra_blessing"]
    assert (verdict.producer_component_id, verdict.output_key) == ("InfraValidator", "blessing")


@pytest.mark.parametrize("trials", [0, 2])
@pytest.mark.parametrize("source", ["imported", "inferred"])
def test_nothing_is_trained_before_the_data_are_valid(config: PipelineConfig, source: str, trials: int) -> None:
    nodes = nodes_of(config.override({"schema_source": source, "tuning": {"trials": trials}}))
    for name in ("Trainer", "Tuner") if trials else ("Trainer",):
        assert nodes["ExampleValidator"] in nodes[name].upstream_nodes
    statistics = nodes["Pusher"].inputs["statistics"]
    assert (statistics.producer_component_id, statistics.output_key) == ("StatisticsGen", "statistics")


def test_without_trials_nothing_of_the_search_is_there(config: PipelineConfig) -> None:
    other = config.override({"tuning": {"trials": 0, "epochs": 3, "learning_rate": None}})
    for each in (config, other):
        nodes = nodes_of(each)
        assert "Tuner" not in nodes
        assert "hyperparameters" not in nodes["Trainer"].inputs
    assert trainer_settings(other) == trainer_settings(config)
    assert training_inputs(other, "f00") == training_inputs(config, "f00")


def test_other_formats_train_nothing_anew(config: PipelineConfig) -> None:
    formats = ["saved_model", "tflite_int8", "tflite_float16"]
    other = config.override({"detector": {"export": {"formats": formats}}})
    assert trainer_settings(other) == trainer_settings(config)
    assert json.loads(nodes_of(other)["Exporter"].exec_properties["export"])["formats"] == formats
    assert json.loads(nodes_of(config)["Exporter"].exec_properties["export"])["formats"] == formats[:2]


def test_with_trials_the_tuner_feeds_the_trainer(config: PipelineConfig) -> None:
    few, many = (config.override({"tuning": {"trials": trials, "epochs": 2}}) for trials in (3, 5))
    nodes = nodes_of(few)
    assert nodes.keys() == {"Tuner", *nodes_of(config)}
    hyperparameters = nodes["Trainer"].inputs["hyperparameters"]
    assert (hyperparameters.producer_component_id, hyperparameters.output_key) == ("Tuner", "best_hyperparameters")
    tuner = settings_of(few, "Tuner")
    assert tuner["tuning"] == few.tuning.to_dict()
    untuned = training_inputs(config, "f00")
    assert tuner["trials"] == f"{config.root}/checkpoints/{untuned}/trials"
    assert settings_of(many, "Tuner")["trials"] == tuner["trials"], "more trials go on with those that are done"
    assert trainer_settings(few)["checkpoints"] == f"{config.root}/checkpoints/{untuned}"
    keys = {training_inputs(each, "f00") for each in (config, few, many)}
    assert len(keys) == 3, "the same inputs mean the same model"
    assert trainer_settings(few)["fingerprint"] == training_inputs(few, "f00")
