"""The Tuner node searches on the real runner, and the Trainer trains with what it found."""

from __future__ import annotations

import json
from pathlib import Path

from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Channel, standard_artifacts

from components.example_gen import CocoExampleGen
from components.trainer import detector_trainer
from components.tuner import detector_tuner
from efficientdet.config import Config
from efficientdet.data.demo import write_demo_data
from efficientdet.search_space import Tuning, with_values

CONFIG = Config().override(
    "model.image_size=64,model.backbone_weights=null,model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1,model.max_level=5,"
    "training.batch_size=2,training.max_steps=1,training.warmup_epochs=0,training.preflight=false,"
    "training.eval_epochs=0,nms.max_candidates=100"
)
TUNING = Tuning(trials=1, learning_rate=(0.01, 0.02), aspect_ratios=("suggested",))
SCHEMA = Channel(type=standard_artifacts.Schema)


def test_the_node_knows_what_to_search_and_where() -> None:
    node = detector_tuner(Channel(type=standard_artifacts.Examples), SCHEMA, CONFIG, TUNING, "/runs/trials/f00", "f00")
    settings = json.loads(node.exec_properties["custom_config"])
    assert Config.parse(settings["config"]) == CONFIG
    assert Tuning.parse(settings["tuning"]) == TUNING
    assert (settings["trials"], settings["fingerprint"]) == ("/runs/trials/f00", "f00")
    assert node.exec_properties["tuner_fn"] == "components.tuner.tuner_fn"


def test_the_best_of_a_search_is_what_the_trainer_trains(tmp_path: Path) -> None:
    splits = {split: f"annotations/instances_{split}.json" for split in ("train", "eval")}
    write_demo_data(tmp_path / "data", images={"train": 4, "eval": 2}, size=(96, 96))
    examples = CocoExampleGen(str(tmp_path / "data"), splits, {split: split for split in splits}, 0.0, "f00")
    channel = examples.outputs["examples"]
    tuner = detector_tuner(channel, None, CONFIG, TUNING, str(tmp_path / "trials"), "f00")
    best = tuner.outputs["best_hyperparameters"]
    trainer = detector_trainer(channel, None, CONFIG, str(tmp_path / "checkpoints"), "f00", best)
    pipeline = Pipeline(
        pipeline_name="tuned",
        pipeline_root=str(tmp_path / "artifacts"),
        components=[examples, tuner, trainer],
        metadata_connection_config=sqlite_metadata_connection_config(str(tmp_path / "metadata.db")),
    )
    LocalDagRunner().run(pipeline)

    [results] = (tmp_path / "artifacts/Tuner/tuner_results").glob("*/tuner_results.json")
    [trial] = json.loads(results.read_text())
    [outcome] = (tmp_path / "trials").glob("*/*/outcome.json")
    written = json.loads(outcome.read_text())
    assert trial["score"] == written["metrics"]["AP"]
    assert written["values"].items() <= trial.items()
    [saved] = (tmp_path / "artifacts/Trainer/model").glob("*/Format-Serving/config.yaml")
    config = Config.load(saved)
    assert config == with_values(CONFIG, written["values"])
    assert config.training.learning_rate == 0.02
    assert config.model.aspect_ratios != CONFIG.model.aspect_ratios
    [checkpoint] = (tmp_path / "checkpoints").glob("*/step-1.index")
    assert checkpoint
