"""EfficientDet from annotated images to a detector that ships; the public names, each loaded when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from efficientdet.architectures import ARCHITECTURES as ARCHITECTURES
    from efficientdet.checkpoint import load_detector as load_detector
    from efficientdet.config import Config as Config
    from efficientdet.detections import Detections as Detections
    from efficientdet.errors import EfficientDetError as EfficientDetError
    from efficientdet.infer import run_infer as run_infer
    from efficientdet.label_map import LabelMap as LabelMap
    from efficientdet.model.detector import build_detector as build_detector
    from efficientdet.pulled_model import pull as pull
    from efficientdet.registry import ModelVersion as ModelVersion
    from efficientdet.registry import Registry as Registry
    from efficientdet.registry import open_registry as open_registry
    from efficientdet.tflite_detector import TFLiteDetector as TFLiteDetector

__version__ = "0.1.0"

_HOMES = {
    "ARCHITECTURES": "architectures",
    "Config": "config",
    "Detections": "detections",
    "EfficientDetError": "errors",
    "LabelMap": "label_map",
    "ModelVersion": "registry",
    "Registry": "registry",
    "TFLiteDetector": "tflite_detector",
    "build_detector": "model.detector",
    "load_detector": "checkpoint",
    "open_registry": "registry",
    "pull": "pulled_model",
    "run_infer": "infer",
}
"""Public name to its module."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'efficientdet' has no attribute {name!r}; it has {', '.join(_HOMES)}")
    value = getattr(importlib.import_module(f"efficientdet.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
