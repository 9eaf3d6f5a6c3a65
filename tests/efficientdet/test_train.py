"""Training runs, resumes exactly, starts from checkpoints and stops when it diverges."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.checkpoint import load_detector, save_detector
from efficientdet.config import Config, DataConfig, TrainingConfig
from efficientdet.errors import ConfigError, ModelError
from efficientdet.label_map import Label, LabelMap
from efficientdet.model.detector import build_detector
from efficientdet.train import TRANSFER_FILE, check_classes, total_steps, train

TINY = Config().override(
    "model.image_size=64,model.backbone_weights=null,training.batch_size=2,training.max_steps=4,"
    "training.checkpoint_steps=2,training.learning_rate=0.1,training.warmup_epochs=0,"
    "model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1"
)


def run(shards: Path, folder: Path, config: Config = TINY):
    patterns = [str(shards / f"Split-{split}/*") for split in ("train", "eval")]
    return train(config, LabelMap.load(shards), *patterns, checkpoints=folder / "ckpt", logs=folder / "logs")


def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(digit_shards, tmp_path, caplog):
    unbroken = run(digit_shards, tmp_path)
    # What a kill after step 3 leaves: the checkpoint of step 2, and half of the next one.
    state = tf.train.CheckpointManager(tf.train.Checkpoint(), str(tmp_path / "ckpt"), max_to_keep=3)
    assert [Path(path).name for path in state.checkpoints] == ["step-2", "step-4"]
    data = tmp_path / "ckpt/step-4.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with caplog.at_level(logging.INFO):
        resumed = run(digit_shards, tmp_path)
    assert "step-4: damaged checkpoint skipped" in caplog.text
    assert "going on from step 2" in caplog.text
    for one, other in zip(unbroken.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    assert list((tmp_path / "logs").glob("events.*"))

    save_detector(tmp_path / "detector", resumed, TINY, LabelMap.load(digit_shards))
    loaded, config, label_map = load_detector(tmp_path / "detector")
    assert config == TINY
    assert label_map == LabelMap.load(digit_shards)
    for one, other in zip(resumed.variables, loaded.variables, strict=True):
        if "seed_generator" not in one.path:
            np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_diverging_run_stops_with_the_remedy(digit_shards, tmp_path):
    config = TINY.override("training.box_loss_weight=1e39")  # beyond float32
    with pytest.raises(ModelError, match=r"step 1: loss, total is not finite; .*lower training.learning_rate"):
        run(digit_shards, tmp_path, config)


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(ModelError, match="holds no detector"):
        load_detector(tmp_path)


def test_steps():
    assert total_steps(TrainingConfig(epochs=10, batch_size=32), 100) == 32
    assert total_steps(TrainingConfig(max_steps=5), 100) == 5


def test_a_run_starts_from_a_checkpoint_of_other_classes(digit_shards, tmp_path, caplog):
    """Classes 7 and 3 are carried over by name, `cat` is not used, the other eight digits start afresh."""
    label_map = LabelMap.from_names(["7", "cat", "3"])
    save_detector(tmp_path / "theirs", build_detector(TINY, len(label_map)), TINY, label_map)
    config = TINY.override({"training": {"max_steps": 1}, "model": {"weights": str(tmp_path / "theirs")}})
    with caplog.at_level(logging.INFO):
        run(digit_shards, tmp_path, config)
    assert "2 classes carried over by name (3, 7)" in caplog.text
    transfer = json.loads((tmp_path / "logs" / TRANSFER_FILE).read_text())
    assert transfer["classes"] == ["3", "7"]
    assert len(transfer["loaded"]) == len(build_detector(config, 10).weights)
    assert not transfer["skipped"]


def test_a_run_starts_from_a_backbone(digit_shards, tmp_path):
    label_map = LabelMap.from_names(["cat"])
    save_detector(tmp_path / "theirs", build_detector(TINY, 1), TINY, label_map)
    config = TINY.override({"training": {"max_steps": 1}, "model": {"backbone_weights": str(tmp_path / "theirs")}})
    run(digit_shards, tmp_path, config)
    loaded = json.loads((tmp_path / "logs" / TRANSFER_FILE).read_text())["loaded"]
    assert {name.split("/")[0] for name in loaded} == {"efficientnet-lite0"}


def test_a_foreign_checkpoint_is_refused_before_the_first_step(digit_shards, tmp_path):
    (tmp_path / "resnet.h5").write_bytes(b"not a checkpoint")
    config = TINY.override({"model": {"weights": str(tmp_path / "resnet.h5")}})
    with pytest.raises(ModelError, match=r"resnet.h5: a file of another kind, but a TensorFlow checkpoint"):
        run(digit_shards, tmp_path, config)


COCO_LIKE = LabelMap((Label(1, "person", 1), Label(2, "stop sign", 13)))


@pytest.mark.parametrize("count", [2, 3, 13, 14])  # classes, with background, the highest id, and with background
def test_every_way_to_count_the_classes_is_understood(count: int):
    check_classes(DataConfig(num_classes=count), COCO_LIKE)


def test_classes_that_disagree_are_named():
    with pytest.raises(ConfigError, match=r"num_classes=20: the examples have 2 classes \(person, stop sign...\); set"):
        check_classes(DataConfig(num_classes=20), COCO_LIKE)
    check_classes(DataConfig(label_map={1: "person", 13: "stop sign"}), COCO_LIKE)
    with pytest.raises(ConfigError, match="lack these of its classes: dog; and have besides: stop sign; correct"):
        check_classes(DataConfig(label_map={1: "person", 2: "dog"}), COCO_LIKE)


def test_a_segmentation_head_cannot_be_trained(digit_shards, tmp_path):
    with pytest.raises(ConfigError, match="examples carry no masks"):
        run(digit_shards, tmp_path, TINY.override({"heads": ["object_detection", "segmentation"], "image_size": 128}))
