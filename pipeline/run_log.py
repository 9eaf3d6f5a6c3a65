"""Where a local run's messages go: everything into a file, what a user wants to see onto the screen."""

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
    """Directs Python's logging for the time of a run; yields the path of the full log below `root`."""
    path = Path(root) / "logs" / time.strftime("run-%Y%m%d-%H%M%S.log")
    path.parent.mkdir(parents=True, exist_ok=True)
    full = logging.FileHandler(path, encoding="utf-8")
    full.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level
    logger.handlers, logger.level = [full, ScreenHandler()], logging.INFO
    absl = logging.getLogger("absl")
    absl.handlers, absl.propagate = [], True
    try:
        yield path
    finally:
        full.close()
        logger.handlers, logger.level = before


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
