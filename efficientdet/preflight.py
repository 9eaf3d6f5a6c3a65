"""What is tried out before the first step, so that a run fails at once or not at all."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from efficientdet.config import Config, TrainingConfig
from efficientdet.data.survey import Survey
from efficientdet.distribute import of_all_workers
from efficientdet.errors import ConfigError, DataError, DivergedError
from efficientdet.free_memory import readable
from efficientdet.label_map import LabelMap
from efficientdet.memory import available_memory, step_memory
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
        what = f"a box with an area, though {examples.unusable} without" if examples.unusable else "a box"
        raise DataError(
            f"{pattern}: none of the {examples.images} images has {what}; give examples with boxes to learn from"
        )
    _check_classes(examples, label_map, pattern)
    if examples.unusable:
        logger.warning(
            "%s: %d boxes are not finite or have no area in their image; they are left out",
            pattern,
            examples.unusable,
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


def check_eval_examples(examples: Survey, label_map: LabelMap, training: TrainingConfig, pattern: str) -> None:
    """Compares an eval split with the label map, and with what its AP is to decide.

    Raises:
      DataError: as `check_groundtruth`.
      ConfigError: an AP is to decide, and there is no box to measure one by.
    """
    check_groundtruth(examples, label_map, pattern)
    if not examples.boxes and (training.patience or training.result == "best"):
        name = "patience" if training.patience else "result=best"
        raise ConfigError(f"training.{name}: {pattern} holds no box to measure an AP by; add some, or leave it out")


def check_groundtruth(examples: Survey, label_map: LabelMap, pattern: str) -> None:
    """Raises DataError when examples to judge by hold a class that the label map lacks, or a box that is none."""
    _check_classes(examples, label_map, pattern)
    if count := examples.unusable:
        raise DataError(
            f"{pattern}: {count} boxes are not finite or have no area in their image, and would count as missed; "
            "make the examples again, which leaves such boxes out"
        )


def check_memory(config: Config, num_classes: int, strategy: tf.distribute.Strategy) -> Config:
    """The config with `training.accumulate` as a number: as it is, or for `auto` the least that fits into memory.

    Every worker has to call it; the one with the least memory decides.

    Raises:
      ConfigError: the images that a device works on at a time do not fit; the sentence names how many do.
    """
    replicas = strategy.num_replicas_in_sync
    share = config.training.batch_size // replicas
    need, frees = step_memory(config, num_classes), of_all_workers(strategy, available_memory(config.training.strategy))
    free = min(frees)
    if not tf.config.list_logical_devices("GPU"):
        # All replicas of a machine without accelerators live in the same memory.
        free /= replicas // len(frees)
    fits = max((free - need.fixed) / need.per_image, 0)
    least = next((n for n in _divisors(share) if share // n <= fits), None)
    asked = config.training.accumulate
    logger.info(
        "a step needs about %s and %s per image; %s are free", *map(readable, (need.fixed, need.per_image, free))
    )
    if asked == "auto" and least:
        logger.info("training.accumulate=%d: %d images at a time", least, share // least)
        return config.override({"training": {"accumulate": least}})
    at_once = 1 if asked == "auto" else share // asked
    if at_once <= fits:
        return config
    raise ConfigError(
        f"training.batch_size={config.training.batch_size}: {at_once} images at a time need about "
        f"{readable(need.fixed + need.per_image * at_once)} of memory and {readable(free)} are free; "
        f"{_remedy(share, least, replicas)}; or, should the estimate err, training.preflight=false"
    )


def _remedy(share: int, parts: int | None, replicas: int) -> str:
    """What to do about a device's share of images, which fits in so many parts; None: in none."""
    if not parts:
        return "not even one image fits: take a smaller model or model.image_size, or training.grad_checkpoint=true"
    images = share // parts
    return (
        f"the largest that fits is {images} at a time: set training.accumulate={parts}, or "
        f"training.batch_size={images * replicas}"
    )


def try_out(trainer: Trainer, batches: Iterator[Any], may_divide: bool = False) -> None:
    """Does a few steps at the full learning rate, and puts everything back as it was.

    Where they do not fit into the device's memory, tries more and more parts. With `may_divide` the trainer keeps to
    the fewest that fit.

    Raises:
      ConfigError: the batch does not fit into the device's memory; the sentence names what did.
      DivergedError: the loss is not finite.
    """
    asked = trainer.parts
    fits = next((n for n in _divisors(trainer.share) if n >= asked and _fits(trainer, batches, n)), None)
    if fits is None or (fits > asked and not may_divide):
        trainer.use_parts(asked)
        raise ConfigError(out_of_memory(trainer, fits))
    if fits > asked:
        logger.info("training.accumulate=%d: %d images at a time fit", fits, trainer.share // fits)


def _fits(trainer: Trainer, batches: Iterator[Any], parts: int) -> bool:
    """Whether the device has memory for a few steps in so many parts, which the trainer then keeps to."""
    if parts != trainer.parts:
        trainer.use_parts(parts)
    before = {name: tf.identity(variable) for name, variable in trainer.state.items()}
    iterations = trainer.optimizer.iterations
    try:
        iterations.assign(tf.cast(trainer.peak_step, iterations.dtype))
        history = trainer.run(batches, tf.constant(min(TRIAL_STEPS, trainer.steps)))
        _check_trial({name: history[name].numpy() for name in trainer.losses}, trainer.config)
    except tf.errors.ResourceExhaustedError:
        return False
    finally:
        for name, variable in trainer.state.items():
            variable.assign(before[name])
    return True


def _check_classes(examples: Survey, label_map: LabelMap, pattern: str) -> None:
    if unknown := sorted(set(examples.boxes) - {label.id for label in label_map}):
        counts = ", ".join(f"{examples.boxes[c]} boxes of class {c}" for c in unknown[:3])
        raise DataError(
            f"{pattern}: holds {counts}, but the label map has {len(label_map)} classes, 1 to {len(label_map)}; "
            "give the label map that was written with these examples"
        )


def _check_trial(losses: dict[str, Any], config: Config) -> None:
    for i in range(len(losses["total"])):
        if bad := [name for name, values in losses.items() if not math.isfinite(values[i])]:
            rate = config.training.learning_rate
            why = (
                "the data or the weights to start from are at fault, look at them with `efficientdet inspect`"
                if i == 0
                else f"lower training.learning_rate (now {rate:g}, {rate * config.training.batch_size / 64:g} per step)"
            )
            raise DivergedError(f"trial step {i + 1} of {len(losses['total'])}: {', '.join(bad)} is not finite; {why}")


def out_of_memory(trainer: Trainer, fits: int | None = None) -> str:
    """The sentence for a step that does not fit; `fits` is how many parts did, where that was tried."""
    size, share = trainer.config.training.batch_size, trainer.share
    at_once = (
        f"training.batch_size={size}: {share // trainer.parts} images at a time do not fit into the device's memory"
    )
    if fits:
        largest = f"{share // fits} do: set training.accumulate={fits} for the same batch in parts"
        return f"{at_once}, {largest}, or training.batch_size={share // fits * trainer.replicas}"
    more = next((n for n in _divisors(share) if n > trainer.parts), None)
    if more:
        return f"{at_once}; set training.accumulate={more} for the same batch in smaller parts"
    return f"{at_once}; take a smaller model or model.image_size, or training.grad_checkpoint=true"


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
