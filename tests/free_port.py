"""A port of the loopback interface that no other process is given while the one it is meant for starts."""

from __future__ import annotations

import random
import socket

# Below the ranges that Linux (32768), macOS and IANA (49152) hand out: a port found by binding to 0 is theirs to hand
# to the next connection of anybody before the server under test has opened it.
PORTS = range(20_000, 32_000)


def free_port() -> int:
    """One that nobody listens on."""
    ports = random.SystemRandom()
    for _ in range(100):
        port = ports.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"none of 100 ports in {PORTS} is free")
