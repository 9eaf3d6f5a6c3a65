"""LiteRT's note that it uses its fast kernels, which no switch turns off, kept from standard error."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

NOTE = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
STDERR = 2


@contextmanager
def without_delegate_note() -> Iterator[None]:
    """Holds back what this process writes to standard error, and at the end of the block passes on all but the note.

    LiteRT writes it past Python, once, for the first interpreter of a process: what opens that one goes into the block.
    """
    try:
        kept = os.dup(STDERR)
    except OSError:  # it is closed: nothing can be written there
        yield
        return
    with tempfile.TemporaryFile() as meanwhile:
        sys.stderr.flush()
        os.dup2(meanwhile.fileno(), STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, STDERR)
            os.close(kept)
            meanwhile.seek(0)
            with os.fdopen(STDERR, "wb", closefd=False) as rest:
                rest.writelines(line for line in meanwhile if line.strip() != NOTE)
