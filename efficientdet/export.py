"""The verb `export`: a trained detector in, the bundle that is scored, blessed and registered out."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
from numpy.typing import ArrayLike

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.bundle import strangers, write_manifest
from efficientdet.config import Config
from efficientdet.data.representative_dataset import RepresentativeDataset
from efficientdet.errors import ConfigError
from efficientdet.export_format import FORMATS, ExportFormat
from efficientdet.frozen_graph_writer import export_frozen_graph
from efficientdet.label_map import LabelMap
from efficientdet.onnx_file import check_onnx, export_onnx
from efficientdet.saved_model import export_saved_model
from efficientdet.tensorrt import Precision, check_tensorrt, export_tensorrt
from efficientdet.tflite import TFLiteWriter

logger = logging.getLogger(__name__)
PRECISIONS: dict[str, Precision] = {"float32": "FP32", "float16": "FP16", "int8": "INT8"}


def export_bundle(
    model: keras.Model,
    config: Config,
    label_map: LabelMap,
    calibration: Iterable[ArrayLike],
    folder: str | Path,
    **facts: Any,
) -> dict[str, Any]:
    """Writes the formats of `config.export` and what describes them into `folder`, which appears whole or not at all.

    Args:
      model: the network of `build_detector`.
      config: its config.
      label_map: its classes.
      calibration: letterboxed images `[H, W, 3]` uint8 from the training set, which every int8 format reads once.
      folder: the bundle; one that exists is replaced.
      facts: what the manifest shall say besides the files.

    Returns:
      The manifest.

    Raises what `check_export` does.
    """
    folder = Path(folder).resolve()
    check_export(config, folder)
    config = as_exported(config)
    _say_what_differs(config)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with TFLiteWriter(model, config, label_map) as tflite:
            for kind in sorted(map(FORMATS.__getitem__, config.export.formats), key=_has_float_layers, reverse=True):
                if kind.runtime == "tflite":
                    _write_tflite(kind, tflite, calibration, aside)
                else:
                    _write(kind, model, config, label_map, calibration, aside)
        (aside / config_file.FILE_NAME).write_text(config.to_yaml(), encoding="utf-8")
        (aside / label_map_file.FILE_NAME).write_text(label_map.to_json(), encoding="utf-8")
        about = {"architecture": config.model.name, "classes": len(label_map), "label_map_hash": label_map.hash}
        manifest = write_manifest(aside, **about, **_calibrated(config, calibration), **facts)
        aside.chmod(0o755)
        _put(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return manifest


def _has_float_layers(kind: ExportFormat) -> bool:
    """Whether `export.float_layers` concerns a format: it goes first, as it is refused when they are wrong."""
    return kind.runtime == "tflite" and kind.calibrated and not kind.raw


def _say_what_differs(config: Config) -> None:
    files = [name for name in config.export.formats if FORMATS[name].runtime == "tflite" and not FORMATS[name].raw]
    if files and config.nms.method == "gaussian":
        logger.warning(
            "%s: suppress hard at nms.iou_threshold=%g, since TFLite's operator knows no nms.method=gaussian",
            ", ".join(files),
            config.nms.iou_threshold,
        )


def _put(new: Path, folder: Path) -> None:
    """Moves a folder to its place; what was there goes last, and comes back when that cannot be done."""
    if not folder.exists():
        new.rename(folder)
        return
    old = new.with_name(f"{new.name}-old")
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old)


def _calibrated(config: Config, calibration: Iterable[ArrayLike]) -> dict[str, Any]:
    """What the manifest says of the images that set ranges."""
    used = any(FORMATS[name].calibrated for name in config.export.formats)
    return {"calibration": calibration.facts} if used and isinstance(calibration, RepresentativeDataset) else {}


def check_export(config: Config, folder: Path) -> None:
    """Says before any work what will not do.

    Raises ConfigError when the folder holds something else than an export, and EfficientDetError when TensorRT or
    ONNX is asked for where what they need is missing.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder to export into")
    if folder.is_mount():
        raise ConfigError(f"{folder}: is a mount point, which nothing can take the place of; name a folder in it")
    if folder.exists() and (others := strangers(folder)):
        raise ConfigError(
            f"{folder}: holds other files, which an export would replace, as {others[0]}; name an empty folder"
        )
    runtimes = {FORMATS[name].runtime for name in config.export.formats}
    if "tensorrt" in runtimes:
        check_tensorrt()
    if "onnx" in runtimes:
        check_onnx(config)


def as_exported(config: Config) -> Config:
    """The config that travels with the files: `nms.per_class` is what `export.post_mode` says, for every format."""
    mode = config.export.post_mode
    return config.override({"nms": {"per_class": mode == "per_class"}}) if mode in ("global", "per_class") else config


def _write(
    kind: ExportFormat,
    model: keras.Model,
    config: Config,
    label_map: LabelMap,
    calibration: Iterable[ArrayLike],
    folder: Path,
) -> None:
    place = folder / kind.place
    match kind.runtime:
        case "saved_model":
            export_saved_model(model, config, label_map, place)
        case "frozen_graph":
            export_frozen_graph(model, config, label_map, place)
        case "tensorrt":
            export_tensorrt(model, config, label_map, calibration, place, PRECISIONS[kind.numbers])
        case "onnx":
            export_onnx(model, config, label_map, place)


def _write_tflite(kind: ExportFormat, tflite: TFLiteWriter, calibration: Iterable[ArrayLike], folder: Path) -> None:
    if kind.numbers == "int8":
        tflite.write_int8(folder / kind.place, calibration, kind.pixels, kind.raw)
    else:
        tflite.write_float(folder / kind.place, kind.numbers, kind.raw)
