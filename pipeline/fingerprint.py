"""What a step's result depends on beyond its TFX inputs: code, settings, data, and the weights to start from."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from efficientdet.config import ModelConfig
from efficientdet.data.fingerprint import (
    coco_fingerprint,
    csv_fingerprint,
    tfod_fingerprint,
    voc_fingerprint,
    yolo_fingerprint,
)
from efficientdet.initial_weights import initial_files
from pipeline.config import SourceConfig


@cache
def code_fingerprint() -> str:
    """First 16 hex digits of the sha256 over every source file of the detector, its components and schemas."""
    digest = hashlib.sha256()
    for package in ("components", "efficientdet", "schemas"):
        folder = Path(next(iter(import_module(package).__path__)))
        for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".pbtxt")):
            digest.update(f"{package}/{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def settings_fingerprint(**settings: Any) -> str:
    """First 16 hex digits of the sha256 over JSON-ready settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def weights_fingerprint(model: ModelConfig) -> str:
    """First 16 hex digits of the sha256 over what training starts from; empty for nothing on this machine.

    The files' bytes count, and their place inside the checkpoint, but not where the checkpoint lies.
    """
    digest, files = hashlib.sha256(), initial_files(model)
    for name, path in files.items():
        with path.open("rb") as file:
            digest.update(f"{name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16] if files else ""


def data_fingerprint(source: SourceConfig) -> str:
    """sha256 over the bytes of the annotations and images of a source; empty for one that is not on this machine.

    TFX's own fingerprint knows names, sizes and whole seconds only.
    """
    if "://" in source.path:
        return ""
    match source.format:
        case "coco":
            return coco_fingerprint(source.path, source.splits, source.images, source.captions)
        case "voc":
            return voc_fingerprint(source.path, source.splits)
        case "csv":
            return csv_fingerprint(source.path, source.annotations)
        case "yolo":
            return yolo_fingerprint(source.path, source.splits)
        case "tfod":
            return tfod_fingerprint(source.path, source.splits, source.label_map)
