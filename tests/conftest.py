"""Fixtures that every test file may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference numbers and real data sets; tests that need it are skipped without it."""
    folder = os.environ.get("EFFICIENTDET_SHARED")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EFFICIENTDET_SHARED does not name the folder of reference data")
    return Path(folder)
