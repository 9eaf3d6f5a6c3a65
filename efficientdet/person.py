"""Who does something that is kept with a name."""

from __future__ import annotations

import getpass
import socket
from contextlib import suppress


def person() -> str:
    """Who is at the keyboard, as `user@machine`."""
    user = "unknown"
    with suppress(OSError, KeyError):  # a container's user may have no name
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"
