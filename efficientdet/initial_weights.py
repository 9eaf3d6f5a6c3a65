"""The weights that training starts from: whether they are at hand, which files hold them, and how they get there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import keras

from efficientdet.checkpoint import WEIGHTS_FILE
from efficientdet.class_names import KNOWN, named_classes
from efficientdet.config import ModelConfig
from efficientdet.errors import ModelError
from efficientdet.model.backbone_weights import load_imagenet, weights_file
from efficientdet.model.weights_file import SAVED_MODEL
from efficientdet.transfer import Transfer, load_backbone, load_checkpoint

IMAGENET = "imagenet"

logger = logging.getLogger(__name__)


def check_initial_weights(model: ModelConfig) -> None:
    """Tells what is missing to start from; addresses are not asked.

    Raises:
      ModelError: there is no such checkpoint on this machine, or there are no ImageNet weights for the backbone.
      ConfigError: `weights_classes` names no classes.
    """
    source = model.weights or model.backbone_weights
    if model.weights and model.weights_classes:
        named_classes(model.weights_classes)
    if source == IMAGENET:
        weights_file(model.architecture.backbone)
    elif source and "://" not in source and not checkpoint_files(source):
        name = "model.weights" if model.weights else "model.backbone_weights"
        raise ModelError(f"{source}: there is no checkpoint, which {name} names to start from; correct the path")


def set_initial_weights(network: keras.Model, model: ModelConfig, class_names: Sequence[str]) -> Transfer | None:
    """Gives a detector of these classes the weights that its config says to start from.

    Returns:
      What a checkpoint gave and what it did not; None where none was asked.

    Raises:
      ModelError: the checkpoint cannot be read or does not fit; the weights are as they were.
    """
    if not model.weights and model.backbone_weights == IMAGENET:
        load_imagenet(network, model.architecture)
        return None
    if model.weights:
        theirs = named_classes(model.weights_classes) if model.weights_classes else None
        transfer = load_checkpoint(network, model.weights, class_names, theirs)
    elif model.backbone_weights:
        transfer = load_backbone(network, model.backbone_weights)
    else:
        return None
    logger.info("%s", transfer.summary())
    return transfer


def initial_files(model: ModelConfig) -> dict[str, Path]:
    """The local files that decide the weights to start from, by names that do not tell where they lie."""
    source = model.weights or model.backbone_weights
    files = {} if not source or source == IMAGENET or "://" in source else checkpoint_files(source)
    classes = model.weights_classes
    if model.weights and isinstance(classes, str) and classes not in KNOWN:
        files |= {"classes": Path(classes)} if Path(classes).is_file() else {}
    return files


def checkpoint_files(source: str | Path) -> dict[str, Path]:
    """The files of a checkpoint on this machine, by their path inside it; none where there is no checkpoint.

    Args:
      source: a file, a folder, or the prefix of the files of a TensorFlow checkpoint.
    """
    path = Path(source)
    if path.name in (SAVED_MODEL, WEIGHTS_FILE) and path.is_file():
        path = path.parent  # such a file is read with its neighbours
    if path.is_dir():
        return {str(file.relative_to(path)): file for file in sorted(path.rglob("*")) if file.is_file()}
    prefix = f"{path.name.removesuffix('.index')}."
    beside = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    parts = {file.name.removeprefix(prefix): file for file in beside if file.name.startswith(prefix)}
    if "index" in parts:
        return parts
    return {path.suffix: path} if path.is_file() else {}
