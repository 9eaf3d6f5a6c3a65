"""A trained detector on disk: weights, resolved config and label map in one folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

from efficientdet import config as config_file
from efficientdet.config import Config
from efficientdet.errors import ModelError
from efficientdet.label_map import FILE_NAME as LABEL_MAP_FILE
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import build_detector
from efficientdet.run_folder import WEIGHTS_FILE as WEIGHTS_FILE


def save_detector(folder: str | Path, model: keras.Model, config: Config, label_map: LabelMap) -> None:
    """Writes the detector into `folder`, which appears complete or not at all; an older one is replaced."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        model.save_weights(aside / WEIGHTS_FILE)
        (aside / config_file.FILE_NAME).write_text(config.to_yaml(), encoding="utf-8")
        (aside / LABEL_MAP_FILE).write_text(label_map.to_json(), encoding="utf-8")
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load_detector(
    folder: str | Path, overrides: Mapping[str, Any] | Iterable[str] | None = None
) -> tuple[keras.Model, Config, LabelMap]:
    """The network with its weights, its config and its label map.

    `overrides` replace settings as `Config.override` does, `model.image_size` for example. Raises ModelError when
    something is missing, or the weights are of another network than the config describes.
    """
    folder = Path(folder)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise ModelError(f"{folder}: holds no {WEIGHTS_FILE}; give the folder a training run wrote")
    config = Config.load(folder / config_file.FILE_NAME).override(overrides)
    label_map = LabelMap.load(folder)
    model = build_detector(config, len(label_map))
    try:
        model.load_weights(weights)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{weights}: does not hold the weights of {config.model.name} ({reason})") from error
    return model, config, label_map
