"""Fixtures that every test file may use."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from efficientdet.registry import Registry


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that at the end no worker is left alone with one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="module")
def no_leftover_networks() -> Iterator[None]:
    """Graphs point to themselves: without this a worker of the suite grows to many gigabytes."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session()
        gc.collect()
        gc.freeze()  # what is left stays, TensorFlow's modules above all: no later collection goes through it again


@pytest.fixture(scope="session")
def new_registry(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Registry]:
    """Makes an empty registry in a new folder, faster than MLflow does."""
    from efficientdet.registry.mlflow_client import Location
    from tests.registry_copy import copy_registry

    empty = tmp_path_factory.mktemp("empty") / "registry"
    Location.parse(str(empty)).create()
    return lambda folder: copy_registry(empty, folder)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference numbers and real data sets; tests that need it are skipped without it."""
    folder = os.environ.get("EFFICIENTDET_SHARED")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EFFICIENTDET_SHARED does not name the folder of reference data")
    return Path(folder)


class Golden:
    """google/automl's own numbers (commit 6a54c87): arrays, how they were made, and the rule that fills weights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arrays(self, name: str) -> Any:
        """The arrays of `name`.npz by key."""
        return np.load(self.folder / f"{name}.npz")

    def made(self, name: str) -> dict[str, Any]:
        """How `name`.npz was made."""
        return self.manifest[f"{name}.npz"]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the files hold."""
        return json.loads((self.folder / "manifest.json").read_text())

    @cached_property
    def models(self) -> dict[str, Any]:
        """Every published model's sizes, counts and variables."""
        return json.loads((self.folder / "models.json").read_text())

    def fill(self, model: Any) -> Any:
        """The detector with every weight set by the rule; returns it."""
        from efficientdet.model.detector import reference_name

        self._rule.G = 1.0 if "lite" in model.name else 2.0
        for variable in model.weights:
            variable.assign(self._rule.value(reference_name(variable), variable.shape))
        return model

    def image(self, seed: int, shape: tuple[int, ...]) -> Any:
        """The network input that the rule makes from a seed."""
        return self._rule.image(seed, shape)

    @cached_property
    def _rule(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("golden_fill", self.folder / "fill.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@pytest.fixture(scope="session")
def golden(shared: Path) -> Golden:
    """The reference's numbers; tests that need them are skipped without."""
    return Golden(shared / "golden")


@pytest.fixture(scope="session")
def close() -> Any:
    """A check that two arrays agree to 1e-4 of the largest expected value."""

    def check(actual: object, expected: np.ndarray, what: str, tolerance: float = 1e-4) -> None:
        actual = np.asarray(actual)
        assert actual.shape == expected.shape, what
        scale = max(float(np.abs(expected).max()), 1e-30)
        error = float(np.abs(actual - expected).max()) / scale
        assert error <= tolerance, f"{what}: {error:.2e} of its scale"

    return check
