"""A file that appears complete or not at all, also where others write it at the same time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """The path of a file to write aside, in the folder of `path`, which is made; it becomes `path` when the block ends.

    What was there is replaced. After an error nothing changes, and what was written is removed. Of several writers
    the last one's file stays, whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name that no other writer has and no reader takes for a file of its kind: a killed writer leaves it.
    aside = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_file(path: str | Path, content: str | bytes) -> Path:
    """Writes bytes, or text as UTF-8, complete or not at all; returns the path."""
    with atomic_file(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


def write_json(path: str | Path, content: Any) -> Path:
    """Writes JSON for programs that people read too, complete or not at all; returns the path."""
    return write_file(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
