"""The whole pipeline at a glance in a terminal: its nodes, their time, images per second, and the time left."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from efficientdet.progress import bars_shown_elsewhere
from pipeline.run_follower import ANNOUNCEMENT, OURS, RunFollower
from pipeline.streams import STDERR, STDIN, STDOUT, led_into

SKIPPED = re.compile(r"Skipping component (\S+)\.")
CACHED = re.compile(r"A cached execution \d+ is used\.")
STYLES = {
    "running": "bold",
    "done": "green",
    "cached": "dim",
    "failed": "bold red",
    "waiting": "dim",
    "left out": "dim",
}
CACHE_SECONDS = 2.0
"""A node that takes longer is not taken from the cache, nor are those behind it."""


@dataclass
class Row:
    """One node. usual: seconds of its work the last time, where it has worked before; rate: images per second."""

    state: str = "waiting"
    started: float = 0.0
    seconds: float | None = None
    usual: float | None = None
    rate: float = 0.0


class RunView(RunFollower):
    """Follows a run by what is logged; renders it for a live display.

    Args:
      nodes: the names of the pipeline's nodes.
      bars: progress of the node at work, drawn below the table.
      console: of the terminal, for our own messages, which stay above the table.
    """

    shows_nodes = True

    def __init__(self, nodes: Sequence[str], bars: Sequence[Progress], console: Console) -> None:
        super().__init__()
        self.rows = {name: Row() for name in nodes}
        self._bars, self._console = bars, console
        self._started = time.monotonic()
        self._at_work: Row | None = None

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Says how long nodes worked the last time."""
        for name, usual in seconds.items():
            if name in self.rows:
                self.rows[name].usual = usual

    def follow(self, record: logging.LogRecord, message: str) -> None:
        """Follows the nodes, and shows our own messages."""
        if announced := ANNOUNCEMENT.fullmatch(message):
            self._announce(*announced.groups())
        elif skipped := SKIPPED.fullmatch(message):
            self.rows.setdefault(skipped[1], Row()).state = "left out"
        elif CACHED.fullmatch(message) and self._at_work:
            self._at_work.state = "cached"
        elif record.name.partition(".")[0] in OURS:
            self._console.print(Text(message))

    def end(self) -> None:
        """A node that is still at work has failed, for nothing else ends a run before it."""
        if self._at_work:
            self._end_row(self._at_work, "failed")

    def __rich__(self) -> RenderableType:
        return Group(self._table(), *(bar.get_renderable() for bar in tuple(self._bars)), self._footer())

    def _announce(self, node: str, state: str) -> None:
        row = self.rows.setdefault(node, Row())
        if state == "running":
            row.state, row.started, self._at_work = "running", time.monotonic(), row
        else:
            self._end_row(row, "cached" if row.state == "cached" else "done")

    def _end_row(self, row: Row, state: str) -> None:
        row.state, row.seconds, self._at_work = state, time.monotonic() - row.started, None

    def _table(self) -> Table:
        table = Table("node", "state", "time", "last time", "images/s", box=None, pad_edge=False, header_style="dim")
        for column in table.columns[2:]:
            column.justify = "right"
        now = time.monotonic()
        for name, row in tuple(self.rows.items()):
            if row is self._at_work:
                row.rate = self._rate() or row.rate
            seconds = now - row.started if row is self._at_work else row.seconds
            rate = f"{row.rate:.1f}" if row.rate else ""
            table.add_row(name, row.state, clock(seconds), clock(row.usual), rate, style=STYLES[row.state])
        return table

    def _footer(self) -> Text:
        left, passed = self.left(), clock(time.monotonic() - self._started)
        return Text(f"{passed} passed" + (f", about {clock(left)} left" if left is not None else ""), style="dim")

    def _rate(self) -> float:
        return next((task.fields.get("rate", 0.0) for bar in tuple(self._bars) for task in bar.tasks), 0.0)

    def left(self) -> float | None:
        """Seconds to the end, by the bar of the node at work and the last time; None where nobody knows."""
        row = self._at_work
        if row is None or time.monotonic() - row.started < CACHE_SECONDS:
            return None
        bars = [task.time_remaining for bar in tuple(self._bars) for task in bar.tasks]
        own = bars[0] if bars and bars[0] is not None else None
        if own is None and row.usual is not None:
            own = max(row.usual - (time.monotonic() - row.started), 0.0)
        waiting = [other.usual for other in self.rows.values() if other.state == "waiting"]
        parts = [own, *waiting]
        return None if None in parts else sum(part for part in parts if part is not None)


def clock(seconds: float | None) -> str:
    """A time as people read it: 4.2 s, 1:07, 2:00:05; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def has_terminal() -> bool:
    """Whether a view can be drawn on the standard error stream."""
    return os.isatty(STDERR) and not Console(file=sys.stderr).is_dumb_terminal


@contextmanager
def run_view(nodes: Sequence[str], log: Path) -> Iterator[RunView]:
    """Draws a view on the terminal until the run ends, and leaves it there as it is then.

    Meanwhile `log` takes what libraries, native code and child processes write to the standard streams.
    """
    with (
        log.open("ab") as file,
        led_into(file, STDOUT, STDERR) as before,
        open(before[STDERR], "w", encoding="utf-8", closefd=False) as terminal,
        bars_shown_elsewhere() as bars,
    ):
        # rich looks for the size behind the standard streams, of which only the input is left.
        width, height = (None, None) if os.isatty(STDIN) else os.get_terminal_size(before[STDERR])
        console = Console(file=terminal, highlight=False, width=width, height=height)
        view = RunView(nodes, bars, console)
        with Live(view, console=console, redirect_stdout=False, redirect_stderr=False):
            try:
                yield view
            finally:
                view.end()
