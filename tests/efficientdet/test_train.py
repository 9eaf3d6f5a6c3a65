"""Training runs, resumes exactly and stops when it diverges."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.checkpoint import load_detector, save_detector
from efficientdet.config import Config, TrainingConfig
from efficientdet.errors import ConfigError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.train import Trainer, learning_rate, total_steps, train

TINY = Config().override(
    "model.image_size=64,model.backbone_weights=null,training.batch_size=2,training.max_steps=4,"
    "training.checkpoint_steps=2,training.learning_rate=0.1,training.warmup_epochs=0"
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


def test_freezing_is_by_name_and_never_silent():
    frozen = Trainer(TINY.override("training.freeze=efficientnet"), num_classes=2, steps=1)
    assert frozen.variables
    assert not [v.path for v in frozen.variables if v.path.startswith("efficientnet")]
    with pytest.raises(ConfigError, match="matches nothing; names look like efficientnet"):
        Trainer(TINY.override("training.freeze=resnet"), num_classes=2, steps=1)


def test_steps_and_learning_rate():
    training = TrainingConfig(epochs=10, batch_size=32, learning_rate=0.08, warmup_epochs=1)
    assert total_steps(training, 100) == 32
    assert total_steps(TrainingConfig(max_steps=5), 100) == 5
    rate = learning_rate(training, 100)
    values = [float(rate(step)) for step in range(101)]
    assert values[0] == pytest.approx(0.004)
    assert max(values) == pytest.approx(0.04)
    assert values.index(max(values)) == 10
    assert values[-1] == pytest.approx(0, abs=1e-7)
    assert np.all(np.diff(values[10:]) <= 0), "the rate must not rise again"
