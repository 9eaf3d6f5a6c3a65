"""The weights that training starts from, before it starts: whether they are at hand, and which files hold them."""

from __future__ import annotations

from pathlib import Path

from efficientdet.checkpoint import WEIGHTS_FILE
from efficientdet.class_names import KNOWN, named_classes
from efficientdet.config import ModelConfig
from efficientdet.errors import ModelError
from efficientdet.model.backbone_weights import weights_file
from efficientdet.model.weights_file import SAVED_MODEL

IMAGENET = "imagenet"


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
