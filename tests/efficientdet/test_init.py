from __future__ import annotations

import subprocess
import sys

import pytest

import efficientdet

PUBLIC = {
    "ARCHITECTURES",
    "Config",
    "Detections",
    "EfficientDetError",
    "LabelMap",
    "ModelVersion",
    "Registry",
    "TFLiteDetector",
    "__version__",
    "build_detector",
    "load_detector",
    "open_registry",
    "pull",
    "run_infer",
}
HEAVY = {"tensorflow", "keras", "mlflow", "numpy", "pydantic", "PIL", "rich", "tfx", "ai_edge_litert"}


def test_the_public_names() -> None:
    assert set(efficientdet.__all__) == set(dir(efficientdet)) == PUBLIC
    assert len(PUBLIC) <= 15


@pytest.mark.parametrize("name", sorted(PUBLIC - {"build_detector", "load_detector"}))
def test_each_name_loads(name: str) -> None:
    assert getattr(efficientdet, name) is not None


def test_names_that_need_tensorflow_load_too() -> None:
    assert callable(efficientdet.build_detector)
    assert callable(efficientdet.load_detector)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'efficientdet' has no attribute 'train_'"):
        _ = efficientdet.train_


@pytest.mark.parametrize("module", ["efficientdet", "efficientdet.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
