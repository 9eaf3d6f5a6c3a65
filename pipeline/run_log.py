"""Where a local run's messages go: everything into a file and one per node, what matters onto the screen."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

OURS = ("efficientdet", "components", "pipeline")
# LocalDagRunner announces its nodes only in its log.
ANNOUNCEMENT = re.compile(r"Component (\S+) is (running|finished)\.")


@contextmanager
def run_log(root: str | Path) -> Iterator[Path]:
    """Directs Python's logging for the time of a run; yields the path of the full log below `root`.

    The folder of the same name beside it has a log of each node.
    """
    path = Path(root) / "logs" / time.strftime("run-%Y%m%d-%H%M%S.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    full, nodes = logging.FileHandler(path, encoding="utf-8"), NodeLogs(path.with_suffix(""))
    for handler in (full, nodes):
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level
    logger.handlers, logger.level = [full, nodes, ScreenHandler()], logging.INFO
    absl = logging.getLogger("absl")
    absl.handlers, absl.propagate = [], True
    try:
        yield path
    finally:
        full.close()
        nodes.close()
        logger.handlers, logger.level = before


class NodeLogs(logging.Handler):
    """Writes what is said while a node runs into `folder`/NODE.log."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self._folder = folder
        self._file: logging.FileHandler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record to the log of the node at work, if one is."""
        announced = ANNOUNCEMENT.fullmatch(record.getMessage())
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


class ScreenHandler(logging.Handler):
    """Shows when nodes start and end, and our own warnings."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._console = Console(stderr=True, highlight=False)
        self._started = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the record when it is of interest."""
        message = record.getMessage()
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
