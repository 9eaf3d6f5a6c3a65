"""A process that may crash, hang or grow without harm to the one that started it."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from efficientdet.errors import printable
from efficientdet.free_memory import free_memory, readable

POLL_SECONDS = 0.02
MAX_FILE_BYTES = 64 << 20
"""Of any file it writes, its messages included."""
_NO_ERROR = re.compile(r"INFO|WARNING|[IW]\d{4} ")


@dataclass(frozen=True)
class Ended:
    """How a process ended: `failure` is empty for exit code 0, else what happened, as the end of a sentence.

    peak_bytes: the most memory that it held; 0 where the system does not tell (no /proc).
    """

    failure: str
    peak_bytes: int


def run_guarded(
    command: Sequence[str], messages: Path, seconds: float, memory_bytes: int | None, env: Mapping[str, str]
) -> Ended:
    """Runs a command to its end, or stops it when it takes more time or memory than it may.

    Args:
      command: program and arguments.
      messages: the file for what it prints.
      seconds: of wall time that it may take.
      memory_bytes: resident memory that it may hold; None for nine tenths of what is free now.
      env: variables to set besides this process's own.

    Short of memory the kernel ends it before others. Its own children end with it.
    """
    allowed = memory_bytes or free_memory() // 10 * 9
    with messages.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **env},
            start_new_session=True,
        )
        try:
            _restrain(process.pid)
            stopped, peak = _watch(process.pid, time.monotonic() + seconds, allowed)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if stopped == "time":
        return Ended(f"was still running after {seconds:g} s, which is its time limit, and was stopped", peak)
    if stopped == "memory":
        return Ended(f"wanted more than {readable(allowed)} of memory, which is its limit, and was stopped", peak)
    return Ended(_failure(process.returncode, messages), peak)


def _restrain(pid: int) -> None:
    """Files of bounded size, no core dumps, and first in line when the kernel needs memory."""
    with suppress(OSError, AttributeError):  # it is over already, or this is no Linux
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def _watch(pid: int, deadline: float, memory_bytes: int) -> tuple[str, int]:
    """Waits for the end; which limit was passed, if any, and the most memory seen."""
    peak = 0
    while not _is_over(pid):
        peak = max(peak, _peak_bytes(pid))
        if peak > memory_bytes:
            return "memory", peak
        if time.monotonic() > deadline:
            return "time", peak
        time.sleep(POLL_SECONDS)
    return "", peak


def _is_over(pid: int) -> bool:
    """Whether a child has ended; its number stays taken, so that its group can still be told from another's."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _peak_bytes(pid: int) -> int:
    """The most memory the process has held since it began.

    Not that of getrusage: a child's starts with what its parent held.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def _failure(code: int, messages: Path) -> str:
    if code == 0:
        return ""
    last = _last_words(messages)
    if code > 0:
        return f"ended with exit code {code}{last}"
    known = -code in {*signal.Signals}  # most of the real-time signals have no name
    name = f"{signal.Signals(-code).name if known else f'signal {-code}'} ({signal.strsignal(-code)})"
    if -code == signal.SIGKILL:
        return f"was killed from outside with {name}, most often for want of memory"
    return f"crashed with {name}{last}"


def _last_words(messages: Path) -> str:
    """The last line that it printed, unless that is no error."""
    with messages.open("rb") as file:
        file.seek(max(messages.stat().st_size - 4096, 0))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return f": {printable(lines[-1].strip())}" if lines and not _NO_ERROR.match(lines[-1]) else ""
