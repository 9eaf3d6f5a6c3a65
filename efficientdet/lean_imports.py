"""Imports without what Keras takes along wherever it is installed, though no step of a pipeline uses it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("matplotlib", "sklearn")
"""MLflow and TFX install them, Keras imports them with TensorFlow for wrappers and plots: a second of each process."""


@contextmanager
def lean_imports() -> Iterator[None]:
    """In the block these packages, unless loaded before, are to an import as if not installed; then they are again."""
    hidden = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # Python's own mark: None halts an import
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
