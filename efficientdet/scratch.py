"""Folders that live no longer than the process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import uuid
from pathlib import Path


def scratch_path() -> Path:
    """A path in the system's temporary folder where nothing is yet; what comes to be there goes with the process."""
    path = Path(tempfile.gettempdir()) / f"efficientdet-{uuid.uuid4().hex[:16]}"
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
