"""What commands show of the library at work, and say where an extra is missing."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from efficientdet.errors import EfficientDetError


@contextmanager
def messages() -> Iterator[None]:
    """Shows what the library reports, and hides TensorFlow's own notes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logger, handler = logging.getLogger("efficientdet"), logging.StreamHandler(sys.stderr)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            # Of Google's client libraries, which TensorFlow loads where they are installed.
            warnings.filterwarnings("ignore", "You are using a Python version", FutureWarning)
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def needs_tensorflow(what: str) -> Iterator[None]:
    """Says which extra to install for `what` where TensorFlow is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise EfficientDetError(
            f"{error.name} is not installed, and {what} needs it; install the `train` extra: pip install '.[train]'"
        ) from error
