"""Where a local run's messages go: everything into a file and one per node, what matters onto the screen."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from absl import logging as absl_logging
from rich.console import Console

from pipeline.run_follower import ANNOUNCEMENT, OURS, RunFollower
from pipeline.run_view import RunView, has_terminal, run_view


class RunLog(NamedTuple):
    """The full log of a run, and what the screen shows of it."""

    path: Path
    screen: RunView | ScreenHandler


@contextmanager
def run_log(root: str | Path, nodes: Sequence[str] = ()) -> Iterator[RunLog]:
    """Directs Python's logging for the time of a run.

    The full log lies below `root`, and in a folder of the same name beside it a log of each node. A terminal shows the
    `nodes` and how far they are, a file or pipe gets lines.
    """
    path = Path(root) / "logs" / time.strftime("run-%Y%m%d-%H%M%S.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    full, by_node = logging.FileHandler(path, encoding="utf-8"), NodeLogs(path.with_suffix(""))
    for handler in (full, by_node):
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    try:
        with _screen(nodes, path) as screen, _handled_by([full, by_node, screen]):
            yield RunLog(path, screen)
    finally:
        full.close()
        by_node.close()


def _screen(nodes: Sequence[str], log: Path) -> AbstractContextManager[RunView | ScreenHandler]:
    return run_view(nodes, log) if has_terminal() else nullcontext(ScreenHandler())


@contextmanager
def _handled_by(handlers: list[logging.Handler]) -> Iterator[None]:
    """Hands everything that is logged to these alone."""
    logger, absl = logging.getLogger(), logging.getLogger("absl")
    before = logger.handlers[:], logger.level
    verbosity = absl_logging.get_verbosity()
    logger.handlers, logger.level = handlers, logging.INFO
    absl.handlers, absl.propagate = [], True
    # By absl's own word: TensorFlow silences absl when it saves a model, and then gives it back what that says.
    absl_logging.set_verbosity(absl_logging.INFO)
    try:
        yield
    finally:
        absl_logging.set_verbosity(verbosity)
        logger.handlers, logger.level = before


class NodeLogs(RunFollower):
    """Writes what is said while a node runs into `folder`/NODE.log."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._file: logging.FileHandler | None = None

    def follow(self, record: logging.LogRecord, message: str) -> None:
        """Writes the record to the log of the node at work, if one is."""
        announced = ANNOUNCEMENT.fullmatch(message)
        if announced and announced[2] == "running":
            self._turn_to(announced[1])
        if self._file:
            self._file.emit(record)
        if announced and announced[2] == "finished":
            self._turn_to(None)

    def close(self) -> None:
        """Ends the open log."""
        self._turn_to(None)
        super().close()

    def _turn_to(self, node: str | None) -> None:
        if self._file:
            self._file.close()
            self._file = None
        if node:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = logging.FileHandler(self._folder / f"{node}.log", encoding="utf-8")
            self._file.setFormatter(self.formatter)


class ScreenHandler(RunFollower):
    """Shows in lines when nodes start and end, and our own messages."""

    shows_nodes = False

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._started = 0.0

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Lines look back only: how long nodes worked the last time is not shown."""

    def follow(self, record: logging.LogRecord, message: str) -> None:
        """Prints the record when it is of interest."""
        if announced := ANNOUNCEMENT.fullmatch(message):
            self._announce(*announced.groups())
        elif record.name.partition(".")[0] in OURS:
            self._console.print(f"  {message}", markup=False)

    def _announce(self, node: str, state: str) -> None:
        now = time.monotonic()
        if state == "running":
            self._started = now
            self._console.print(f"[bold]{node}[/bold]")
        else:
            self._console.print(f"  done in {now - self._started:.1f} s", style="dim")
