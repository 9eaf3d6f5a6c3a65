"""What a root is known by in metadata that several share, on whatever machine and under whatever path it is found."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from efficientdet.atomic_file import write_file

ROOT_FILE = "root.id"


def root_id(root: Path) -> str:
    """The id of a root; made when it has none."""
    return known_root(root) or write_file(root / ROOT_FILE, uuid4().hex).read_text(encoding="utf-8")


def known_root(root: Path) -> str:
    """The same; empty for a root that nothing has run in."""
    path = root / ROOT_FILE
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""
