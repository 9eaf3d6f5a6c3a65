"""The verb `export`: a trained detector in, the bundle that is scored, blessed and registered out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE, write_manifest
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.saved_model import export_saved_model
from efficientdet.tflite import export_tflite_int8


def export_bundle(
    model: keras.Model,
    config: Config,
    label_map: LabelMap,
    calibration: Iterable[NDArray[np.uint8]],
    folder: str | Path,
    **facts: Any,
) -> dict[str, Any]:
    """Writes every file of `efficientdet.bundle` into `folder`, which appears complete or not at all.

    Args:
      model: the network of `build_detector`.
      config: its config.
      label_map: its classes.
      calibration: letterboxed images `[H, W, 3]` uint8 from the training set, for int8.
      folder: the bundle; one that exists is replaced.
      facts: what the manifest shall say besides the files.

    Returns:
      The manifest.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        export_tflite_int8(model, config, label_map, calibration, aside / TFLITE_FILE)
        export_saved_model(model, config, label_map, aside / SAVED_MODEL_FOLDER)
        (aside / config_file.FILE_NAME).write_text(config.to_yaml(), encoding="utf-8")
        (aside / label_map_file.FILE_NAME).write_text(label_map.to_json(), encoding="utf-8")
        about = {"architecture": config.model.name, "classes": len(label_map), "label_map_hash": label_map.hash}
        manifest = write_manifest(aside, **about, **facts)
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return manifest
