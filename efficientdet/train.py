"""The verb `train`: examples in, a trained detector out, resumable at any step."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from efficientdet.anchors import Targets, anchors_for
from efficientdet.config import Config, TrainingConfig
from efficientdet.data.input_pipeline import count_records, training_batches
from efficientdet.errors import ConfigError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.model.backbone_weights import load_imagenet
from efficientdet.model.detector import build_detector, normalise
from efficientdet.model.losses import detection_loss, l2
from efficientdet.pictures import PictureLog
from efficientdet.progress import StepProgress

LOG_STEPS = 20
logger = logging.getLogger(__name__)


def train(
    config: Config,
    label_map: LabelMap,
    train_pattern: str | Sequence[str],
    eval_pattern: str | Sequence[str],
    checkpoints: str | Path,
    logs: str | Path,
) -> keras.Model:
    """Trains until `training.epochs` or `training.max_steps`, going on from the newest checkpoint.

    Args:
      config: the detector and how to train it.
      label_map: the classes of the examples.
      train_pattern, eval_pattern: file patterns of example shards; eval ones only feed the pictures.
      checkpoints: folder of this very run's checkpoints: same data, config and code.
      logs: folder of TensorBoard's event files.

    Returns:
      The network holding the averaged weights.

    Raises:
      ModelError: the loss became NaN or infinite; the sentence names step and remedy.
    """
    steps = total_steps(config.training, count_records(train_pattern))
    trainer = Trainer(config, len(label_map), steps)
    saver = tf.train.CheckpointManager(
        trainer.checkpoint, str(checkpoints), max_to_keep=config.training.keep_checkpoints, checkpoint_name="step"
    )
    if not _restore(trainer, saver) and config.model.backbone_weights:
        load_imagenet(trainer.model, config.model.architecture)
        trainer.reset_average()
    pictures = PictureLog(config, label_map, eval_pattern)
    writer = tf.summary.create_file_writer(str(logs))
    with writer.as_default(), StepProgress(steps, trainer.steps_done, config.training.batch_size) as progress:
        _loop(trainer, saver, config, train_pattern, progress, pictures, steps)
    trainer.use_average()
    return trainer.model


def total_steps(training: TrainingConfig, examples: int) -> int:
    """How many steps the configured epochs take over so many examples, bounded by `max_steps`."""
    steps = max(1, math.ceil(training.epochs * examples / training.batch_size))
    return min(steps, training.max_steps or steps)


def learning_rate(training: TrainingConfig, examples_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up from a tenth of the peak, then a cosine to zero at the last of `examples_steps`."""
    peak = training.learning_rate * training.batch_size / 64
    share = training.warmup_epochs / training.epochs
    warmup = min(round(examples_steps * share), examples_steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        peak / 10 if warmup else peak,
        max(1, examples_steps - warmup),
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


class Trainer:
    """Network, optimizer and weight average of one run, and the step that moves them."""

    def __init__(self, config: Config, num_classes: int, steps: int) -> None:
        keras.utils.set_random_seed(config.training.seed)
        self.config, self.num_classes = config, num_classes
        self.model = build_detector(config, num_classes)
        self.variables = self._unfrozen(config.training.freeze)
        self.optimizer = keras.optimizers.SGD(learning_rate(config.training, steps), momentum=config.training.momentum)
        self.optimizer.build(self.variables)
        self.average = [tf.Variable(v.value, trainable=False) for v in self.variables]
        # A flat list: object-based saving loses the state of Keras' seed generators.
        state = [v.value for v in (*self.model.variables, *self.optimizer.variables)]
        self.checkpoint = tf.train.Checkpoint(state=state, average=self.average)

    @property
    def steps_done(self) -> int:
        """Steps behind us, those before a restart included."""
        return int(self.optimizer.iterations.numpy())

    def reset_average(self) -> None:
        """Starts the average anew from the current weights."""
        for average, variable in zip(self.average, self.variables, strict=True):
            average.assign(variable.value)

    def use_average(self) -> None:
        """Replaces the weights by their average; the last thing a run does."""
        if self.config.training.moving_average:
            for average, variable in zip(self.average, self.variables, strict=True):
                variable.assign(average)

    @tf.function(reduce_retracing=True)
    def step(self, images: tf.Tensor, targets: Targets) -> dict[str, tf.Tensor]:
        """One update from images `[b, H, W, 3]` 0..255 and their targets; returns the scalar losses."""
        training = self.config.training
        with tf.GradientTape() as tape:
            raw = self.model(normalise(images, self.config), training=True)
            losses = detection_loss(
                raw,
                targets,
                self.num_classes,
                alpha=training.focal_alpha,
                gamma=training.focal_gamma,
                label_smoothing=training.label_smoothing,
                delta=training.huber_delta,
                box_loss_weight=training.box_loss_weight,
            )
            decay = l2(self.variables, training.weight_decay)
            total = losses["loss"] + decay
        gradients = tape.gradient(total, [v.value for v in self.variables])
        self.optimizer.apply(_clipped(gradients, training.clip_norm), self.variables)
        self._move_average(training.moving_average)
        return {**losses, "l2": decay, "total": total}

    def _move_average(self, decay: float) -> None:
        done = tf.cast(self.optimizer.iterations.value, tf.float32)
        rate = 1 - tf.minimum(decay, done / (9 + done))
        for average, variable in zip(self.average, self.variables, strict=True):
            average.assign_sub((average - variable.value) * rate)

    def _unfrozen(self, expression: str | None) -> list[keras.Variable]:
        """Trainable variables whose name the expression does not match from its start."""
        if not expression:
            return list(self.model.trainable_variables)
        kept = [v for v in self.model.trainable_variables if not re.match(expression, v.path)]
        if not kept or len(kept) == len(self.model.trainable_variables):
            what = "everything" if not kept else "nothing"
            raise ConfigError(
                f"training.freeze={expression!r}: matches {what}; names look like {self.model.variables[0].path}"
            )
        return kept


def _loop(
    trainer: Trainer,
    saver: tf.train.CheckpointManager,
    config: Config,
    pattern: str | Sequence[str],
    progress: StepProgress,
    pictures: PictureLog,
    steps: int,
) -> None:
    batches = training_batches(pattern, config, anchors_for(config), trainer.steps_done)
    for images, targets in batches.take(steps - trainer.steps_done):
        losses = {name: float(value) for name, value in trainer.step(images, Targets(*targets)).items()}
        step = trainer.steps_done
        if not math.isfinite(losses["total"]):
            raise ModelError(_diverged(step, losses, config))
        progress.update(step, losses["total"])
        if step % LOG_STEPS == 0 or step == steps:
            for name, value in losses.items():
                tf.summary.scalar(f"loss/{name}", value, step)
            tf.summary.scalar("learning_rate", float(trainer.optimizer.learning_rate), step)
        if step % config.training.checkpoint_steps == 0 or step == steps:
            saver.save(step)
            pictures.write(trainer.model, step)


def _restore(trainer: Trainer, saver: tf.train.CheckpointManager) -> bool:
    """Loads the newest checkpoint that can be read; False when there is none."""
    # By the files themselves: a kill may come between a checkpoint and TensorFlow's list of them.
    indexes = Path(saver.directory).glob("step-*.index")
    for number in sorted((int(index.stem.removeprefix("step-")) for index in indexes), reverse=True):
        path = f"{saver.directory}/step-{number}"
        try:
            saver.checkpoint.restore(path).assert_consumed()
        except (tf.errors.OpError, IndexError, ValueError, AssertionError) as error:
            logger.warning("%s: damaged checkpoint skipped (%s)", path, str(error).splitlines()[0])
            continue
        logger.info("going on from step %d of %s", trainer.steps_done, path)
        return True
    return False


def _clipped(gradients: Sequence[tf.Tensor], norm: float) -> list[tf.Tensor]:
    """Each gradient cut to `norm`, then all of them together, as google/automl does."""
    clipped, _ = tf.clip_by_global_norm([tf.clip_by_norm(g, norm) for g in gradients], norm)
    return clipped


def _diverged(step: int, losses: dict[str, float], config: Config) -> str:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    rate = config.training.learning_rate
    return (
        f"step {step}: {', '.join(bad)} is not finite; the last checkpoint is kept, "
        f"lower training.learning_rate (now {rate:g}) or lengthen training.warmup_epochs"
    )
