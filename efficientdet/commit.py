"""Which commit this code is of."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

VARIABLE = "EFFICIENTDET_COMMIT"
"""Tells it where the code has no git, as in a container's image."""


def code_commit(package: Path = Path(__file__).parent) -> str:
    """The commit of a package's checkout, with `-dirty` when files differ from it; empty when that is not known."""
    if named := os.environ.get(VARIABLE):
        return named
    # installed into somebody else's checkout it has no commit
    if not _git(package, "ls-files", Path(__file__).name):
        return ""
    commit = _git(package, "rev-parse", "HEAD")
    return f"{commit}-dirty" if commit and _git(package, "status", "--porcelain", "-uno", "--", "..") else commit


def _git(folder: Path, *arguments: str) -> str:
    """What git prints; nothing when it fails or is not there."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
