"""Training steps against google/automl's, and every setting that changes one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientdet.anchors import Targets, anchors_for
from efficientdet.config import Config
from efficientdet.errors import ConfigError
from efficientdet.model.detector import reference_name
from efficientdet.trainer import Trainer, learning_rate

TINY = Config().override(
    "model.image_size=64,model.backbone_weights=null,training.batch_size=2,"
    "model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1"
)

# google/automl's names of the losses, and ours.
LOSSES = {"det_loss": "loss", "cls_loss": "class_loss", "box_loss": "box_loss", "reg_l2_loss": "l2", "loss": "total"}


def golden_run(golden, name: str) -> tuple[Trainer, tf.Tensor, Targets, Any]:
    """The trainer with the filled network, and the one batch, of a golden training run."""
    arrays, made = golden.arrays(name), golden.made(name)["config"]
    not_hyperparameters = ("profile", "steps_per_execution", "steps_per_epoch", "num_shards")
    hparams = {key: value for key, value in made.items() if key not in not_hyperparameters}
    config = Config.parse({**hparams, "compat": True})
    trainer = Trainer(config, made["num_classes"], made["steps_per_epoch"] * made["num_epochs"])
    golden.fill(trainer.model)
    trainer.reset_average()
    architecture = config.model.architecture
    images = arrays["x"] * np.float32(architecture.stddev) + np.float32(architecture.mean)
    boxes = [(arrays[f"gt_boxes_{i}"], arrays[f"gt_classes_{i}"].astype(np.int32).ravel()) for i in range(2)]
    return trainer, images, batched(anchors_for(config), boxes), arrays


def batched(anchors, boxes) -> Targets:
    """The targets of several images as a batch."""
    each = [anchors.assign(tf.constant(b, tf.float32), tf.constant(c, tf.int32), compat=True) for b, c in boxes]
    return tf.nest.map_structure(lambda *parts: tf.stack(parts), *each)


@pytest.mark.parametrize("name", ["train_d0", "train_d0_freeze"])
def test_three_steps_equal_the_reference(golden, close, name: str):
    """golden/train_d0.npz and train_d0_freeze.npz: inference losses, then three updates on one batch.

    From the second step on, float32 noise grows: at the coarsest level a statistic is of two values.
    """
    trainer, images, targets, arrays = golden_run(golden, name)
    np.testing.assert_array_equal(targets.num_positives, arrays["num_positives"])
    losses = trainer.evaluate(images, targets)
    for theirs, ours in LOSSES.items():
        close(losses[ours], arrays[f"test_step/{theirs}"], f"inference {theirs}")
    statistics = None
    for step, tolerance in enumerate((1e-5, 1e-4, 1e-3)):
        assert float(trainer.optimizer.learning_rate) == pytest.approx(float(arrays[f"step{step}/learning_rate"]))
        losses = trainer.step(images, targets)
        for theirs, ours in LOSSES.items():
            close(losses[ours], arrays[f"step{step}/{theirs}"], f"step {step} {theirs}", tolerance)
        clipped = min(float(losses["gradient_norm"]), trainer.config.training.clip_norm)
        close(clipped, arrays[f"step{step}/gradient_norm"], f"step {step} gradient norm", 1e-6)
        statistics = statistics or {reference_name(v): v.numpy() for v in trainer.model.weights}
    after = {reference_name(v): v.numpy() for v in trainer.model.weights}
    average = {reference_name(v): a.numpy() for v, a in zip(trainer.variables, trainer.average, strict=True)}
    compared = 0
    for key, expected in arrays.items():
        part, _, variable = key.partition("/")
        ours = {"bn_after_1fwd": statistics, "after3": after, "ema": average}.get(part)
        if ours is not None:
            compared += 1
            close(ours[variable], expected, key, 1e-4 if part == "bn_after_1fwd" else 1e-3)
    assert compared > 20
    for variable, (_, norm) in golden.made(name)["all_var_sum_l2_after3"].items():
        assert np.linalg.norm(after[variable].astype(np.float64)) == pytest.approx(norm, rel=1e-3), variable


@pytest.fixture(scope="module")
def batch() -> tuple[np.ndarray, Targets]:
    """Two images of one object each, 64x64."""
    boxes = [([[8.0, 8, 40, 40]], [1]), ([[20.0, 4, 60, 50]], [2])]
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    return images, batched(anchors_for(TINY), boxes)


def values(variables) -> dict[str, np.ndarray]:
    return {reference_name(v): v.numpy() for v in variables}


def test_what_is_frozen_stays_to_the_last_bit(batch):
    """Moving statistics too, unless `compat` asks for google/automl's, which move."""
    for compat in (False, True):
        trainer = Trainer(
            TINY.override({"var_freeze_expr": "(efficientnet|fpn_cells|resample_p6)", "compat": compat}), 2, 3
        )
        before = values(trainer.model.weights)
        trainer.step(*batch)
        moved = {name.split("/")[0] for name, v in values(trainer.model.weights).items() if np.any(v != before[name])}
        frozen = {"efficientnet-lite0", "fpn_cells", "resample_p6"}
        assert moved == {"class_net", "box_net"} | (frozen if compat else set())


def test_freezing_is_by_google_names_and_never_silent():
    frozen = Trainer(TINY.override({"training": {"freeze": ".*depthwise_kernel"}}), 2, 1)
    assert frozen.variables
    assert not [v.path for v in frozen.variables if reference_name(v).endswith("depthwise_kernel")]
    with pytest.raises(ConfigError, match="matches nothing; names look like efficientnet"):
        Trainer(TINY.override("training.freeze=resnet"), 2, 1)
    with pytest.raises(ConfigError, match="matches everything"):
        Trainer(TINY.override("training.freeze=."), 2, 1)


def test_adam_overlap_loss_and_running_normaliser_take_part(batch):
    settings = "optimizer=adam,iou_loss_type=ciou,positives_momentum=0.5,clip_gradients_norm=0,box_loss_weight=0"
    trainer = Trainer(TINY.override(settings), 2, 3)
    assert isinstance(trainer.optimizer, keras.optimizers.Adam)
    count = float(np.sum(batch[1].num_positives)) + 1
    first = trainer.step(*batch)
    assert float(trainer.positives) == count
    assert float(first["box_iou_loss"]) > 0
    assert float(first["loss"]) == pytest.approx(float(first["class_loss"] + first["box_iou_loss"]), rel=1e-6)
    trainer.positives.assign(3 * count)
    second = trainer.step(*batch)
    assert float(trainer.positives) == pytest.approx(2 * count)
    assert np.isfinite(float(second["total"]))


def test_the_rate_warms_up_and_falls_to_zero():
    config = TINY.override("num_epochs=10,batch_size=32,learning_rate=0.08,lr_warmup_epoch=1")
    rates = [float(learning_rate(config, 100)(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.004)  # a tenth of 0.08 * 32 / 64
    assert rates.index(max(rates)) == 10
    assert max(rates) == pytest.approx(0.04)
    assert rates[-1] == pytest.approx(0, abs=1e-7)
    assert np.all(np.diff(rates[10:]) <= 0), "the rate must not rise again"


def test_settings_of_the_schedule_arrive():
    config = TINY.override(
        "num_epochs=10,lr_decay_method=stepwise,first_lr_drop_epoch=4,second_lr_drop_epoch=6,batch_size=64"
    )
    config = config.override("lr_warmup_init=0.001")
    rates = [float(learning_rate(config, 100)(step)) for step in (0, 10, 39, 40, 60)]
    np.testing.assert_allclose(rates, [0.001, 0.08, 0.08, 0.008, 0.0008], rtol=1e-6)
    assert learning_rate(config.override("compat=true"), 100).compat
