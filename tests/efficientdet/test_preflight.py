"""What would fail later fails before the first step, and leaves no trace when it does not."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from efficientdet import preflight
from efficientdet.anchors import anchors_for
from efficientdet.config import Config
from efficientdet.data.input_pipeline import training_batches
from efficientdet.data.survey import Survey
from efficientdet.errors import ConfigError, DataError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.memory import StepMemory
from efficientdet.preflight import check_eval_examples, check_examples, check_memory, try_out
from efficientdet.trainer import Trainer

TINY = Config().override(
    "model.image_size=64,model.backbone_weights=null,training.batch_size=4,training.learning_rate=0.1,"
    "model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1,model.max_level=5"
)
LABELS = LabelMap.from_names(["cat", "dog"])


@pytest.mark.parametrize(
    ("examples", "says"),
    [
        (Survey(), "shards: the training split holds no images"),
        (Survey(7, 7), "shards: none of the 7 images has a box; give examples with boxes"),
        (Survey(7, 7, unusable=9), "shards: none of the 7 images has a box with an area, though 9 without; give"),
        (
            Survey(7, 0, Counter({1: 4, 3: 9})),
            "shards: holds 9 boxes of class 3, but the label map has 2 classes, 1 to 2",
        ),
    ],
)
def test_examples_that_cannot_train_are_named(examples: Survey, says: str):
    with pytest.raises(DataError, match=says):
        check_examples(examples, LABELS, TINY, "shards")


def test_what_is_unusual_is_logged(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        check_examples(Survey(7, 2, Counter({1: 300}), 140, unusable=3), LABELS, TINY, "shards")
    assert "shards: 3 boxes are not finite or have no area in their image; they are left out" in caplog.text
    assert "shards: 7 images, 300 boxes, 2 images without any" in caplog.text
    assert "shards: no box of dog; these cannot be learned" in caplog.text
    assert (
        "up to 140 boxes in an image, of which a random 100 are learnt at a time; raise data.max_boxes" in caplog.text
    )


@pytest.mark.parametrize(
    ("examples", "settings", "says"),
    [
        (Survey(4, 0, Counter({99: 2})), "", "val: holds 2 boxes of class 99, but the label map has 2 classes"),
        (Survey(4, 0, Counter({1: 2}), unusable=1), "", "val: 1 boxes are not finite or have no area in their image"),
        (Survey(4, 4), "training.patience=2", "training.patience: val holds no box to measure an AP by"),
        (Survey(4, 4), "training.result=best", "training.result=best: val holds no box to measure an AP by"),
    ],
)
def test_an_eval_split_that_cannot_judge_is_named(examples: Survey, settings: str, says: str):
    with pytest.raises((DataError, ConfigError), match=says):
        check_eval_examples(examples, LABELS, TINY.override(settings).training, "val")
    check_eval_examples(Survey(4, 4), LABELS, TINY.training, "val")


@pytest.mark.parametrize(
    ("settings", "replicas", "free", "parts"),
    [
        ("training.accumulate=auto", 1, 1e9, 1),
        ("training.accumulate=auto", 1, 250, 2),
        ("training.accumulate=auto", 2, 500, 1),
        ("training.accumulate=auto", 2, 499, 2),
    ],
)
def test_auto_takes_the_fewest_parts_that_fit(
    settings: str, replicas: int, free: int, parts: int, monkeypatch: pytest.MonkeyPatch
):
    memory(monkeypatch, free)
    assert check_memory(TINY.override(settings), 2, strategy(replicas)).training.accumulate == parts


def strategy(replicas: int) -> SimpleNamespace:
    """One that has so many GPUs, or CPUs that share the memory of a machine."""
    return SimpleNamespace(num_replicas_in_sync=replicas)


def memory(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    """A network of 50 bytes and 100 per image, where `free` bytes are left."""
    monkeypatch.setattr(preflight, "step_memory", lambda *_: StepMemory(50, 100))
    monkeypatch.setattr(preflight, "available_memory", lambda _: free)


def test_a_batch_that_does_not_fit_names_what_does(monkeypatch: pytest.MonkeyPatch):
    memory(monkeypatch, 250)
    with pytest.raises(
        ConfigError,
        match=r"4 images at a time need .* set training.accumulate=2, or training.batch_size=2; or.*preflight=false",
    ):
        check_memory(TINY, 2, strategy(1))
    memory(monkeypatch, 120)
    with pytest.raises(ConfigError, match="not even one image fits"):
        check_memory(TINY, 2, strategy(1))
    with pytest.raises(ConfigError, match=r"1 images at a time need about .* not even one image fits"):
        check_memory(TINY.override("training.accumulate=auto"), 2, strategy(1))
    memory(monkeypatch, 450)
    assert check_memory(TINY, 2, strategy(1)) == TINY


@pytest.fixture(scope="module")
def pattern(digit_shards: Path) -> str:
    return str(digit_shards / "Split-train/*")


def tried(pattern: str, config: Config, may_divide: bool = False) -> Trainer:
    trainer = Trainer(config, 10, 20)
    batches = iter(training_batches(pattern, config, anchors_for(config), 0))
    try_out(trainer, batches, may_divide)
    return trainer


def test_a_trial_changes_nothing(pattern: str):
    trainer, fresh = tried(pattern, TINY), Trainer(TINY, 10, 20)
    for name, variable in trainer.state.items():
        np.testing.assert_array_equal(variable.numpy(), fresh.state[name].numpy(), err_msg=name)


def test_a_loss_beyond_numbers_is_named_with_the_remedy(pattern: str):
    with pytest.raises(ModelError, match=r"trial step 1 of 3: loss, total is not finite; the data or the weights"):
        tried(pattern, TINY.override("training.box_loss_weight=1e39"))


def test_a_learning_rate_beyond_numbers_is_named_with_the_remedy(pattern: str):
    config = TINY.override(
        "training.learning_rate=10,training.batch_size=4,training.clip_norm=0,training.box_loss_weight=1e30"
    )
    with pytest.raises(
        ModelError, match=r"trial step 2 of 3: .* is not finite; lower training.learning_rate \(now 10,"
    ):
        tried(pattern, config)


def test_a_device_without_memory_is_named(pattern: str, monkeypatch: pytest.MonkeyPatch):
    def exhausted(trainer: Trainer, batches: object, count: object) -> dict[str, tf.Tensor]:
        if trainer.share // trainer.parts > fitting:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return {name: tf.zeros([3]) for name in trainer.scalars}

    monkeypatch.setattr(Trainer, "_run", exhausted)
    monkeypatch.setattr(tf, "function", lambda function, **_: function)
    too_large = "4 images at a time do not fit into the device's memory"
    fitting = 1
    with pytest.raises(ConfigError, match=f"{too_large}, 1 do: set training.accumulate=4 .*or training.batch_size=1"):
        tried(pattern, TINY)
    assert tried(pattern, TINY, may_divide=True).parts == 4
    fitting = 0
    with pytest.raises(ConfigError, match=f"{too_large}; set training.accumulate=2 for the same batch"):
        tried(pattern, TINY)
    smallest = SimpleNamespace(config=TINY, share=4, parts=4)
    assert preflight.out_of_memory(smallest).endswith(
        "take a smaller model or model.image_size, or training.grad_checkpoint=true"
    )
