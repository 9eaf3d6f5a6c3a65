"""One run at a time in a root, and who holds it."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from efficientdet.errors import EfficientDetError

LOCK_FILE = "run.lock"
LOOK_SECONDS = 0.2

logger = logging.getLogger(__name__)


@contextmanager
def only_run(root: Path, wait: bool = False) -> Iterator[None]:
    """Holds the run lock of a folder; the kernel frees it when the process dies, however it dies.

    Raises:
      EfficientDetError: another process holds it, and this one is not to `wait`.
    """
    with (root / LOCK_FILE).open("a+") as lock:
        if not _taken(lock):
            holder = f"{root}: process {_written(lock) or 'unknown'} is running this pipeline"
            if not wait:
                raise EfficientDetError(f"{holder}; wait for it (--wait), or set another root")
            logger.warning("%s; waiting for its end", holder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def holder(root: Path) -> int | None:
    """Id of the process that holds the run lock of a folder; None when none does."""
    try:
        with (root / LOCK_FILE).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                written = _written(lock)
                return int(written) if written.isdecimal() else 0
    except FileNotFoundError:
        pass
    return None


def _taken(lock: IO[str]) -> bool:
    """Whether this process has it now; who only looks whether it is held has it for an instant."""
    for pause in (LOOK_SECONDS, 0.0):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
        else:
            return True
    return False


def _written(lock: IO[str]) -> str:
    lock.seek(0)
    return lock.read().strip()
