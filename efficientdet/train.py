"""The verb `train`: examples in, a trained detector out, resumable at any step."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras

from efficientdet.class_names import named_classes
from efficientdet.config import Config, DataConfig, TrainingConfig
from efficientdet.data.survey import Survey, survey
from efficientdet.determinism import deterministic, wants_determinism
from efficientdet.distribute import is_chief, open_strategy
from efficientdet.errors import ConfigError
from efficientdet.evaluate import Evaluation
from efficientdet.initial_weights import set_initial_weights
from efficientdet.label_map import LabelMap
from efficientdet.pictures import PictureLog
from efficientdet.preflight import check_eval_examples, check_examples, check_memory, try_out
from efficientdet.trainer import Trainer
from efficientdet.training_calendar import Calendar
from efficientdet.training_log import TrainingLog
from efficientdet.training_loop import TrainingLoop
from efficientdet.training_state import StateFolder

Patterns = tuple[str | Sequence[str], str | Sequence[str]]
"""Shards of the train split, and of the eval split."""
TRANSFER_FILE = "initial_weights.json"


def train(
    config: Config,
    label_map: LabelMap,
    train_pattern: str | Sequence[str],
    eval_pattern: str | Sequence[str],
    checkpoints: str | Path,
    logs: str | Path,
) -> keras.Model:
    """Trains until `training.epochs` or `training.max_steps`, going on from the newest checkpoint.

    Under `training.strategy` every worker calls it alike, with folders that all of them see; the chief writes.

    Args:
      config: the detector and how to train it.
      label_map: the classes of the examples.
      train_pattern, eval_pattern: file patterns of example shards; eval ones feed scores and pictures.
      checkpoints: folder of this very run's checkpoints: same data, config and code.
      logs: folder of TensorBoard's event files, and of `initial_weights.json`: what a checkpoint to start from
        gave and what it did not.

    Returns:
      The network holding the averaged weights, after the last step or as `training.result` says.

    Raises:
      ConfigError: the config expects other classes than the label map has, a head that cannot be trained, or
        devices that are not there; or another process trains here.
      DataError: the examples cannot train this detector.
      ModelError: the weights to start from do not fit, or a checkpoint cannot be read or written.
      DivergedError: the loss became NaN or infinite; the sentence names the remedy.
      PreemptedError: SIGTERM came; all is saved.
    """
    check_classes(config.data, label_map)
    if "segmentation" in config.model.heads:
        raise ConfigError("model.heads: examples carry no masks to train a segmentation head with; leave it out")
    with deterministic(wants_determinism(config.training)):
        return _train(config, label_map, (train_pattern, eval_pattern), checkpoints, logs)


def _train(
    config: Config, label_map: LabelMap, patterns: Patterns, checkpoints: str | Path, logs: str | Path
) -> keras.Model:
    train_pattern = patterns[0]
    strategy = open_strategy(config.training)
    chief, examples = is_chief(strategy), survey(train_pattern)
    check_examples(examples, label_map, config, _folder(train_pattern))
    if config.training.eval_epochs:
        check_eval_examples(survey(patterns[1]), label_map, config.training, _folder(patterns[1]))
    divides = config.training.accumulate == "auto"
    if config.training.preflight or divides:
        config = check_memory(config, len(label_map), strategy)
    trainer = Trainer(config, len(label_map), total_steps(config.training, examples.images), strategy)
    saves = StateFolder(checkpoints, trainer.state, config.training.keep_checkpoints, writes=chief)
    try:
        loop = _loop(trainer, saves, label_map, patterns, examples, logs if chief else None)
        if saves.restore() is None:
            _start(trainer, label_map, Path(logs) if chief else None)
            if config.training.preflight:
                try_out(trainer, loop.batches(), divides)
        else:
            # `auto` keeps to what the run began with; a number is taken, and noted in the next checkpoints.
            trainer.use_parts(trainer.restored_parts if divides else trainer.parts)
        trainer.part_ways()
        loop.run()
        if config.training.result == "best":
            saves.restore_best()
    finally:
        saves.close()
    trainer.average.use()
    return trainer.model


def _folder(pattern: str | Sequence[str]) -> str:
    return str(Path(pattern if isinstance(pattern, str) else pattern[0]).parent)


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


def _loop(
    trainer: Trainer,
    saves: StateFolder,
    label_map: LabelMap,
    patterns: Patterns,
    examples: Survey,
    logs: str | Path | None,
) -> TrainingLoop:
    """The loop of a run; without `logs` that of a worker which neither scores nor writes."""
    config, (train_pattern, eval_pattern) = trainer.config, patterns
    calendar = Calendar.of(config.training, trainer.steps, examples.images)
    evaluation = pictures = None
    if logs is not None:
        pictures = PictureLog(config, label_map, eval_pattern)
        if calendar.look:
            evaluation = Evaluation(trainer.model, config, label_map, eval_pattern)
    return TrainingLoop(trainer, saves, train_pattern, calendar, evaluation, pictures, TrainingLog(logs, trainer))


def _start(trainer: Trainer, label_map: LabelMap, logs: Path | None) -> None:
    """Sets the weights that the config says to start from, and writes down which."""
    transfer = set_initial_weights(trainer.model, trainer.config.model, label_map.names)
    trainer.average.reset()
    if transfer and logs:
        logs.mkdir(parents=True, exist_ok=True)
        (logs / TRANSFER_FILE).write_text(json.dumps(asdict(transfer), indent=1) + "\n", encoding="utf-8")
