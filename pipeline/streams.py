"""What native code and child processes write to this process's standard streams, led elsewhere for a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

STDIN, STDOUT, STDERR = 0, 1, 2


@contextmanager
def led_into(file: IO[bytes], *streams: int) -> Iterator[dict[int, int]]:
    """Leads file descriptors of standard streams into `file`; yields a descriptor of what each was before."""
    _flush()
    before = {stream: os.dup(stream) for stream in streams}
    try:
        for stream in streams:
            os.dup2(file.fileno(), stream)
        yield before
    finally:
        _flush()
        for stream, old in before.items():
            os.dup2(old, stream)
            os.close(old)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
