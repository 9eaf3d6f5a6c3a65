"""What is tried out before the first step, so that a run fails at once or not at all."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from efficientdet.config import Config
from efficientdet.data.survey import Survey
from efficientdet.errors import ConfigError, DataError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.memory import available_memory, readable, step_memory
from efficientdet.trainer import Trainer

TRIAL_STEPS = 3

logger = logging.getLogger(__name__)


def check_examples(examples: Survey, label_map: LabelMap, config: Config, pattern: str) -> None:
    """Compares a training split with the label map and the config, and logs what is unusual but allowed.

    Raises:
      DataError: there is no image, no box, or a box of a class that the label map lacks.
    """
    if not examples.images:
        raise DataError(f"{pattern}: the training split holds no images; nothing can be learned from it")
    total = sum(examples.boxes.values())
    if not total:
        raise DataError(
            f"{pattern}: none of the {examples.images} images has a box; give examples with boxes to learn from"
        )
    if unknown := sorted(set(examples.boxes) - {label.id for label in label_map}):
        counts = ", ".join(f"{examples.boxes[c]} boxes of class {c}" for c in unknown[:3])
        raise DataError(
            f"{pattern}: holds {counts}, but the label map has {len(label_map)} classes, 1 to {len(label_map)}; "
            "give the label map that was written with these examples"
        )
    logger.info("%s: %d images, %d boxes, %d images without any", pattern, examples.images, total, examples.empty)
    if unseen := [label.name for label in label_map if not examples.boxes[label.id]]:
        logger.warning("%s: no box of %s; these cannot be learned", pattern, ", ".join(unseen[:10]))
    if examples.most > config.data.max_boxes:
        logger.warning(
            "%s: up to %d boxes in an image, of which a random %d are learnt at a time; raise data.max_boxes",
            pattern,
            examples.most,
            config.data.max_boxes,
        )


def check_memory(config: Config, num_classes: int, replicas: int) -> Config:
    """The config with `training.accumulate` as a number: as it is, or for `auto` the least that fits into memory.

    Raises:
      ConfigError: the images that a device works on at a time do not fit; the sentence names how many do.
    """
    share = config.training.batch_size // replicas
    need, free = step_memory(config, num_classes), available_memory(config.training.strategy)
    # All replicas of a machine without accelerators live in the same memory.
    fits = max((free - need.fixed) / need.per_image, 0)
    parts = [parts for parts in range(1, share + 1) if share % parts == 0]
    least = next((n for n in parts if share // n <= fits), None)
    asked = config.training.accumulate
    logger.info(
        "a step needs about %s and %s per image; %s are free", *map(readable, (need.fixed, need.per_image, free))
    )
    if asked == "auto":
        return config.override({"training": {"accumulate": least or parts[-1]}})
    if share / asked > fits:
        remedy = (
            f"the largest that fits is {share // least} at a time: set training.accumulate={least}, "
            f"or training.batch_size={share // least * replicas}"
            if least
            else "not even one image fits: take a smaller model or model.image_size, or training.grad_checkpoint=true"
        )
        needed = readable(need.fixed + need.per_image * share // asked)
        raise ConfigError(
            f"training.batch_size={config.training.batch_size}: {share // asked} images at a time need about "
            f"{needed} of memory and {readable(free)} are free; {remedy}"
        )
    return config


def try_out(trainer: Trainer, batches: Iterator[Any]) -> None:
    """Does a few steps at the full learning rate, and puts everything back as it was.

    Raises:
      ConfigError: the batch does not fit into the device's memory.
      ModelError: the loss is not finite.
    """
    before = {name: tf.identity(variable) for name, variable in trainer.state.items()}
    iterations = trainer.optimizer.iterations
    try:
        iterations.assign(tf.cast(trainer.peak_step, iterations.dtype))
        history = trainer.run(batches, tf.constant(min(TRIAL_STEPS, trainer.steps)))
        _check_trial({name: history[name].numpy() for name in trainer.losses}, trainer.config)
    except tf.errors.ResourceExhaustedError as error:
        raise ConfigError(_out_of_memory(trainer)) from error
    finally:
        for name, variable in trainer.state.items():
            variable.assign(before[name])


def _check_trial(losses: dict[str, Any], config: Config) -> None:
    for i in range(len(losses["total"])):
        if bad := [name for name, values in losses.items() if not math.isfinite(values[i])]:
            rate = config.training.learning_rate
            why = (
                "the data or the weights to start from are at fault, look at them with `efficientdet inspect`"
                if i == 0
                else f"lower training.learning_rate (now {rate:g}, {rate * config.training.batch_size / 64:g} per step)"
            )
            raise ModelError(f"trial step {i + 1} of {len(losses['total'])}: {', '.join(bad)} is not finite; {why}")


def _out_of_memory(trainer: Trainer) -> str:
    training = trainer.config.training
    share = training.batch_size // trainer.replicas // trainer.parts
    fewer = trainer.parts * next((n for n in range(2, share + 1) if share % n == 0), 1)
    return (
        f"training.batch_size={training.batch_size}: {share} images at a time do not fit into the device's memory; "
        f"set training.accumulate={fewer} for the same batch in smaller parts, or training.batch_size=auto"
    )
