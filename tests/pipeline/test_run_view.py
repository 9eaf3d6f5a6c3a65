"""The view of a run in a real terminal, a pseudo-terminal whose screen is read as a person sees it."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from efficientdet.progress import StepProgress
from pipeline import run_view
from pipeline.config import PipelineConfig
from pipeline.run_log import run_log
from pipeline.run_view import RunView, clock
from tests.pipeline.small_pipeline import WORK, run

ROWS, COLUMNS = 30, 90


def train(fails: bool) -> None:
    """What a node may do to the terminal."""
    logging.getLogger("efficientdet.any").warning("a message of ours")
    logging.getLogger("urllib3").warning("a library's warning")
    print("a library's print", flush=True)
    os.write(2, b"native code's cry\n")
    subprocess.run("echo a child speaks; echo and complains >&2", shell=True, check=True)
    with StepProgress(total=3, first=0, batch_size=8) as progress:
        for step in range(1, 4):
            time.sleep(0.3)
            progress.update(step, loss=1 / step)
    if fails:
        raise OSError("no room")


def viewed_run(config: PipelineConfig, fails: bool) -> None:
    WORK["train"] = lambda: train(fails)
    with run_log(config.root, ("Trainer", "Pusher")) as log:
        log.screen.expect({"Trainer": 70.0})
        with suppress(OSError):
            run(config, "train")
    print("after", flush=True)


class Screen:
    """What a terminal shows of what is written to it: text, line feeds, and rich's way of drawing again."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.frames = ""
        self._row = self._column = 0

    def feed(self, text: str) -> Screen:
        self.frames += text
        for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", text):
            if token.startswith("\x1b["):
                self._control(token[2:-1], token[-1])
            elif token == "\n":
                self._row += 1
                self.lines += [""] * (self._row + 1 - len(self.lines))
            elif token == "\r":
                self._column = 0
            else:
                line = self.lines[self._row].ljust(self._column)
                self.lines[self._row] = line[: self._column] + token + line[self._column + 1 :]
                self._column += 1
                assert self._column <= COLUMNS, f"a line is wider than the terminal: {self.lines[self._row]}"
        return self

    def _control(self, parameter: str, command: str) -> None:
        match command:
            case "A":
                self._row -= int(parameter or 1)
                assert self._row >= 0
            case "K":
                assert parameter == "2"
                self.lines[self._row] = ""
            case "m" | "h" | "l":  # colours; the cursor, hidden and shown
                pass
            case _:
                raise AssertionError(f"unknown to this terminal: {parameter}{command}")

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.lines]


def on_a_terminal(work: Callable[[], None]) -> Screen:
    """A terminal when `work` has ended, in a fork of this process, which has imported TFX already."""
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", closefd=False) for stream in (1, 2))
        try:
            work()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    written = bytearray()
    with suppress(OSError):  # Linux' end of a terminal
        while chunk := os.read(terminal, 65536):
            written += chunk
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, written.decode()
    return Screen().feed(written.decode())


@pytest.fixture
def screen(config, monkeypatch) -> Callable[[bool], Screen]:
    monkeypatch.setenv("TERM", "xterm-256color")
    return lambda fails: on_a_terminal(lambda: viewed_run(config, fails))


def test_the_last_screen_shows_every_node_and_nothing_torn(screen, config):
    ended = screen(False)
    message, header, trainer, pusher, footer, after, *rest = ended.shown
    assert (message, after, rest) == ("a message of ours", "after", [""])
    assert header.split("  ")[0] == "node"
    assert re.fullmatch(r"Trainer +done +\d+\.\d s +1:10 +\d+\.\d", trainer)
    assert re.fullmatch(r"Pusher +done +\d+\.\d s", pusher)
    assert re.fullmatch(r"(\d+\.\d s|\d+:\d\d) passed", footer)
    assert {"running", "2/3"} <= set(re.split(r"\x1b\[[\d;]*m| +", ended.frames)), "which is the bar of the training"
    [log] = Path(config.root).glob("logs/*.log")
    said = ("a message of ours", "a library's warning", "a library's print", "native code's cry", "a child speaks")
    assert [words for words in (*said, "and complains", "step 3/3") if words not in log.read_text()] == []


def test_the_last_screen_of_a_failure_marks_the_node(screen):
    lines = screen(True).shown
    assert any(re.match(r"Trainer +failed +\d+\.\d s", line) for line in lines)
    assert any(re.fullmatch(r"Pusher +waiting", line) for line in lines)


def test_the_time_left_is_the_last_time_of_what_is_to_come(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(run_view.time, "monotonic", lambda: now[0])
    view = RunView(("Gen", "Trainer", "Pusher"), [], Console(file=io.StringIO()))
    view.expect({"Gen": 5.0, "Trainer": 60.0, "Pusher": 3.0, "Gone": 1.0})

    def say(text: str, *values: object) -> None:
        view.emit(logging.LogRecord("absl", logging.INFO, "", 0, text, values, None))

    say("Component %s is running.", "Gen")
    say("A cached execution %d is used.", 7)
    say("Component %s is finished.", "Gen")
    say("Component %s is running.", "Trainer")
    now[0] = 1.0
    assert view.left() is None, "it may come from the cache"
    now[0] = 20.0
    assert view.left() == 40 + 3
    now[0] = 90.0
    assert view.left() == 3
    view.end()
    assert [row.state for row in view.rows.values()] == ["cached", "failed", "waiting"]
    assert view.rows["Trainer"].seconds == 90


@pytest.mark.parametrize(("seconds", "shown"), [(None, ""), (4.21, "4.2 s"), (67.4, "1:07"), (7205, "2:00:05")])
def test_times_are_as_people_read_them(seconds, shown):
    assert clock(seconds) == shown
