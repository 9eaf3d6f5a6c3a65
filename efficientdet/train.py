"""The verb `train`: examples in, a trained detector out, resumable at any step."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import tensorflow as tf

from efficientdet.anchors import Targets, anchors_for
from efficientdet.class_names import named_classes
from efficientdet.config import Config, DataConfig, TrainingConfig
from efficientdet.data.input_pipeline import count_records, training_batches
from efficientdet.errors import ConfigError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.model.backbone_weights import load_imagenet
from efficientdet.pictures import PictureLog
from efficientdet.progress import StepProgress
from efficientdet.trainer import Trainer
from efficientdet.transfer import Transfer, load_backbone, load_checkpoint

LOG_STEPS = 20
TRANSFER_FILE = "initial_weights.json"
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
      logs: folder of TensorBoard's event files, and of `initial_weights.json`: what a checkpoint to start from
        gave and what it did not.

    Returns:
      The network holding the averaged weights.

    Raises:
      ConfigError: the config expects other classes than the label map has, or a head that cannot be trained.
      ModelError: the weights to start from do not fit, or the loss became NaN or infinite; the sentence names
        the remedy.
    """
    check_classes(config.data, label_map)
    if "segmentation" in config.model.heads:
        raise ConfigError("model.heads: examples carry no masks to train a segmentation head with; leave it out")
    steps = total_steps(config.training, count_records(train_pattern))
    trainer = Trainer(config, len(label_map), steps)
    saver = tf.train.CheckpointManager(
        trainer.checkpoint, str(checkpoints), max_to_keep=config.training.keep_checkpoints, checkpoint_name="step"
    )
    if not _restore(trainer, saver):
        _start(trainer, label_map, Path(logs))
    pictures = PictureLog(config, label_map, eval_pattern)
    writer = tf.summary.create_file_writer(str(logs))
    with writer.as_default(), StepProgress(steps, trainer.steps_done, config.training.batch_size) as progress:
        _loop(trainer, saver, config, train_pattern, progress, pictures, steps)
    trainer.use_average()
    return trainer.model


def check_classes(data: DataConfig, label_map: LabelMap) -> None:
    """Raises ConfigError when the label map does not have the classes that `data` expects.

    `data.num_classes` may count a background class, or be the highest original id, as google/automl's does.
    """
    counts = {len(label_map), max((label.category_id for label in label_map), default=0)}
    if data.num_classes is not None and not {data.num_classes, data.num_classes - 1} & counts:
        raise ConfigError(
            f"data.num_classes={data.num_classes}: the examples have {len(label_map)} classes "
            f"({', '.join(label_map.names[:5])}...); set it to {len(label_map)} or leave it out"
        )
    if data.label_map is None:
        return
    expected, found = {name for name in named_classes(data.label_map) if name}, set(label_map.names)
    if expected != found:
        missing, more = (", ".join(sorted(names)[:5]) or "none" for names in (expected - found, found - expected))
        raise ConfigError(
            f"data.label_map: the examples lack these of its classes: {missing}; and have besides: {more}; "
            "correct it or leave it out"
        )


def total_steps(training: TrainingConfig, examples: int) -> int:
    """How many steps the configured epochs take over so many examples, bounded by `max_steps`."""
    steps = max(1, math.ceil(training.epochs * examples / training.batch_size))
    return min(steps, training.max_steps or steps)


def _start(trainer: Trainer, label_map: LabelMap, logs: Path) -> None:
    """Sets the weights that the config says to start from, and writes down which."""
    model = trainer.config.model
    if model.weights:
        theirs = named_classes(model.weights_classes) if model.weights_classes else None
        _write_down(load_checkpoint(trainer.model, model.weights, label_map.names, theirs), logs)
    elif model.backbone_weights == "imagenet":
        load_imagenet(trainer.model, model.architecture)
    elif model.backbone_weights:
        _write_down(load_backbone(trainer.model, model.backbone_weights), logs)
    trainer.reset_average()


def _write_down(transfer: Transfer, logs: Path) -> None:
    logger.info("%s", transfer.summary())
    logs.mkdir(parents=True, exist_ok=True)
    (logs / TRANSFER_FILE).write_text(json.dumps(asdict(transfer), indent=1) + "\n", encoding="utf-8")


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
    for images, targets in batches.take(max(0, steps - trainer.steps_done)):
        losses = {name: float(value) for name, value in trainer.step(images, Targets(*targets)).items()}
        norm, step = losses.pop("gradient_norm"), trainer.steps_done
        if not math.isfinite(losses["total"]):
            raise ModelError(_diverged(step, losses, config))
        progress.update(step, losses["total"])
        if step % LOG_STEPS == 0 or step == steps:
            for name, value in losses.items():
                tf.summary.scalar(f"loss/{name}", value, step)
            tf.summary.scalar("gradient_norm", norm, step)
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


def _diverged(step: int, losses: dict[str, float], config: Config) -> str:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    rate = config.training.learning_rate
    return (
        f"step {step}: {', '.join(bad)} is not finite; the last checkpoint is kept, "
        f"lower training.learning_rate (now {rate:g}) or lengthen training.warmup_epochs"
    )
