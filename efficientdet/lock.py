"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from efficientdet.errors import ConfigError

LOCK_FILE = ".lock"


def lock(folder: Path) -> IO[str]:
    """Makes `folder`, and this process the only one that works in it until the file returned is closed.

    The lock ends with the process, however that ends.

    Raises:
      ConfigError: another process has it, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK_FILE).open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to ({error.strerror}); name another folder") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError(
            f"{folder}: another process is at work here; wait for it, stop it, or name another folder"
        ) from error
    return file
