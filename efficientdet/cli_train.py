"""`efficientdet train`: google/automl's training command, on shards of examples, without the pipeline around it."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from efficientdet.errors import DataError, EfficientDetError

if TYPE_CHECKING:
    from efficientdet.config import Config
    from efficientdet.label_map import LabelMap

DEFAULT_MODEL = "efficientdet-d0"
# google/automl's flags that change nothing here, and why.
WITHOUT_EFFECT = {
    "mode": "judging a detector is a step of its own",
    "eval_samples": "judging a detector is a step of its own",
    "val_json_file": "the examples hold their boxes",
    "num_examples_per_epoch": "the examples are counted",
    "steps_per_execution": "the loop is one step at a time",
}


def _google_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Hidden options for flags that are in many a script: those without effect, and those that have a refusal."""
    for name in (*WITHOUT_EFFECT, "strategy"):
        command = click.option(f"--{name.replace('_', '-')}", hidden=True)(command)
    return command


@click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
@click.option("--model-name", metavar="NAME", help=f"As `efficientdet models --architectures` lists. [{DEFAULT_MODEL}]")
@click.option("--train-file-pattern", required=True, metavar="GLOB", help="Shards of gzip TFRecords to learn from.")
@click.option("--val-file-pattern", metavar="GLOB", help="Shards for the pictures in the logs.  [those to learn from]")
@click.option("--model-dir", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where all goes to.")
@click.option("--hparams", default="", metavar="YAML|K=V,...", help="Settings, by google/automl's names or ours.")
@click.option("--label-map", type=click.Path(path_type=Path), help="Folder of label_map.json.  [that of the shards]")
@click.option("--ckpt", "--pretrained-ckpt", "--hub-module-url", metavar="PATH|URI", help="Detector to start from.")
@click.option("--ckpt-classes", metavar="coco|voc|waymo|FILE", help="Its classes, to carry them over by name.")
@click.option("--backbone-ckpt", metavar="PATH|URI", help="Backbone to start from; null: random.  [imagenet]")
@click.option("--batch-size", type=int, help="Images per step.  [64]")
@click.option("--num-epochs", type=float, help="Passes over the examples.  [300]")
@_google_flags
def train(
    train_file_pattern: str,
    val_file_pattern: str | None,
    model_dir: Path,
    hparams: str,
    label_map: Path | None,
    **flags: Any,
) -> None:
    """Train a detector on shards of examples, with google/automl's options, spelled with - or _.

    MODEL_DIR gets the trained detector, its checkpoints and TensorBoard's logs. Given the same options again,
    training goes on from the last checkpoint. Options win over --hparams.
    """
    with _messages(), _needs_tensorflow():
        config = detector_config(hparams, flags)
        from efficientdet.checkpoint import save_detector
        from efficientdet.initial_weights import check_initial_weights
        from efficientdet.run_folder import RunFolder
        from efficientdet.train import train as train_detector

        run, shards = RunFolder(model_dir), _shards(train_file_pattern)
        val_shards = _shards(val_file_pattern) if val_file_pattern else shards
        labels = _label_map(label_map, next(iter(shards)))
        if not run.begun:
            check_initial_weights(config.model)
        run.claim(config, labels, shards)
        with _readable_shards(train_file_pattern):
            model = train_detector(config, labels, list(shards), list(val_shards), run.checkpoints, run.logs)
        save_detector(run.detector, model, config, labels)
    click.echo(f"{run.detector}: the detector after {run.steps} steps")


def detector_config(hparams: str, flags: Mapping[str, Any]) -> Config:
    """The settings of the flags over those of `hparams`, a YAML file or `k=v,...`, over the defaults."""
    from efficientdet.config import Config
    from efficientdet.settings import merge, read_yaml

    given = {name: value for name, value in flags.items() if value is not None}
    for name in [name for name in WITHOUT_EFFECT if given.pop(name, None)]:
        click.echo(f"--{name} has no effect here: {WITHOUT_EFFECT[name]}", err=True)
    name = given.get("model_name", DEFAULT_MODEL)
    config = Config.parse({"model": {"name": name}}, source="--model-name")
    if "=" in hparams:
        config = config.override(hparams)
    elif hparams:
        config = Config.parse(merge(config.to_dict(), read_yaml(hparams)), source=hparams)
    if "ckpt_classes" in given:
        config = config.override({"model": {"weights_classes": given.pop("ckpt_classes")}})
    # google/automl's names, which the config understands.
    values = {name: None if value in ("", "null", "none") else value for name, value in given.items()}
    return Config.parse(config.to_dict() | values, source="options")


def _shards(pattern: str) -> dict[str, int]:
    """The files that match a pattern, in the order of their names, with their sizes in bytes."""
    import tensorflow as tf

    try:
        files = [name for name in sorted(tf.io.gfile.glob(pattern)) if not tf.io.gfile.isdir(name)]
    except tf.errors.OpError as error:
        raise DataError(f"{pattern}: cannot be searched ({_first_line(error)}); correct the pattern") from error
    if not files:
        raise DataError(f"{pattern}: no file matches; give the shards as in 'examples/Split-train/*'")
    for name in files:
        with tf.io.gfile.GFile(name, "rb") as file:
            if file.read(2) != b"\x1f\x8b":
                raise DataError(
                    f"{name}: is not a gzip TFRecord; pack it with `gzip`, and match the packed shards only"
                )
    return {name: tf.io.gfile.stat(name).length for name in files}


def _label_map(folder: Path | None, shard: str) -> LabelMap:
    """The label map of a folder; or of the shard's own folder, or the one above."""
    from efficientdet.label_map import FILE_NAME, LabelMap

    folders = [folder] if folder else [Path(shard).parent, Path(shard).absolute().parent.parent]
    for place in folders:
        if (place / FILE_NAME).is_file():
            return LabelMap.load(place)
    looked = " nor ".join(str(place) for place in folders)
    raise DataError(f"{looked}: holds no {FILE_NAME}, the classes of the examples; name its folder with --label-map")


@contextmanager
def _messages() -> Iterator[None]:
    """Shows what the library reports, and hides TensorFlow's own notes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logger, handler = logging.getLogger("efficientdet"), logging.StreamHandler(sys.stderr)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            # Of Google's client libraries, which TensorFlow loads where they are installed.
            warnings.filterwarnings("ignore", "You are using a Python version", FutureWarning)
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def _needs_tensorflow() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise EfficientDetError(
            f"{error.name} is not installed, and training needs it; install the `train` extra: pip install '.[train]'"
        ) from error


@contextmanager
def _readable_shards(pattern: str) -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        raise DataError(f"{pattern}: a record cannot be read ({_first_line(error)}); make the shards again") from error


def _first_line(error: Exception) -> str:
    """Of TensorFlow's message, without the names of graph nodes."""
    return re.sub(r"\{\{.*?\}\} *", "", str(error)).strip().partition("\n")[0][:200]
