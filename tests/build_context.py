"""What an image or a wheel is built from, in a folder of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def let_through() -> list[str]:
    """What .dockerignore excepts from being ignored."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def copy_context(target: Path) -> None:
    """Copies what a build is shown, and the two files that its program reads itself."""
    for name in [*let_through(), ".dockerignore", "Dockerfile"]:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target / name)
