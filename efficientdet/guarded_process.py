"""A process that may crash, hang or grow without harm to the one that started it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from efficientdet import guardian
from efficientdet.errors import printable
from efficientdet.free_memory import free_memory, readable

POLL_SECONDS = 0.02
END_SECONDS = 10.0
"""Longest that is waited for those that were killed."""
_NO_ERROR = re.compile(r"INFO|WARNING|[IW]\d{4} ")


@dataclass(frozen=True)
class Ended:
    """How a process ended: `failure` is empty for exit code 0, else what happened, as the end of a sentence.

    peak_bytes: the most memory that it held, its children included; 0 where the system does not tell (no /proc).
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
      memory_bytes: memory that it may hold with all its children; None for nine tenths of what is free now.
      env: variables to set besides this process's own.

    Short of memory the kernel ends it before others. What it has started ends with it; where the system is not Linux,
    a child that makes a session of its own lives on, and no memory is counted.
    """
    allowed = memory_bytes or free_memory() // 10 * 9
    told, tell = os.pipe()
    with messages.open("wb") as log, os.fdopen(told, "rb", buffering=0) as answers:
        try:
            between = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, str(tell), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
                start_new_session=True,
                pass_fds=[tell],
            )
        finally:
            os.close(tell)
        try:
            pid = int(answers.readline() or between.pid)
            stopped, peak = _watch(answers, between.pid, pid, time.monotonic() + seconds, allowed)
        finally:
            _end(between)
        code = b"" if stopped else answers.readline()
    if stopped == "time":
        return Ended(f"was still running after {seconds:g} s, which is its time limit, and was stopped", peak)
    if stopped == "memory":
        return Ended(f"wanted more than {readable(allowed)} of memory, which is its limit, and was stopped", peak)
    return Ended(_failure(int(code or between.returncode), messages), peak)


def _watch(answers: IO[bytes], between: int, pid: int, deadline: float, memory_bytes: int) -> tuple[str, int]:
    """Waits for the end; which limit was passed, if any, and the most memory seen."""
    peak = 0
    while not select.select([answers], [], [], POLL_SECONDS)[0]:
        others = sum(_shared_bytes(one) for one in _below(between) if one != pid)
        peak = max(peak, _peak_bytes(pid) + others)
        if peak > memory_bytes:
            return "memory", peak
        if time.monotonic() > deadline:
            return "time", peak
    return "", peak


def _end(between: subprocess.Popen[bytes]) -> None:
    """Ends all that is below a guardian, then the guardian."""
    deadline = time.monotonic() + END_SECONDS
    while between.poll() is None and (left := _below(between.pid)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(between.pid, signal.SIGKILL)
    between.wait()


def _below(pid: int) -> list[int]:
    """The processes below one, those that have ended but were not waited for included; none where there is no /proc."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # its thread has ended meanwhile
            found += [int(child) for child in children.read_text().split()]
    return found + [below for child in found for below in _below(child)]


def _peak_bytes(pid: int) -> int:
    """The most memory the process has held since it began.

    Not that of getrusage: a child's starts with what its parent held.
    """
    return _counted(pid, "status", "VmHWM")


def _shared_bytes(pid: int) -> int:
    """The memory that the process holds now; of pages that it shares with others, its share."""
    return _counted(pid, "smaps_rollup", "Pss")


def _counted(pid: int, file: str, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
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
