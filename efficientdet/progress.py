"""Progress of a long loop: a live bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LOG_SECONDS = 10.0


class StepProgress:
    """Context manager that shows step, loss, images per second and time left of a training run."""

    def __init__(self, total: int, first: int, batch_size: int, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._total, self._first, self._batch_size = total, first, batch_size
        self._started = self._logged = time.monotonic()
        self._bar = Progress(
            TextColumn("train"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=total, completed=first, note="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, step: int, loss: float) -> None:
        """Shows that `step` steps are done and the last one's loss."""
        now = time.monotonic()
        if step == self._first + 1:
            self._started = now  # the first step compiles the graph: it says nothing about the speed
        seconds = max(now - self._started, 1e-9)
        rate = (step - self._first - 1) / seconds
        note = f"loss {loss:.3f}  {rate * self._batch_size:.1f} images/s"
        self._bar.update(self._task, completed=step, note=note)
        due = now - self._logged >= LOG_SECONDS or step == self._total
        if self._bar.disable and due:
            self._logged = now
            left = f"{(self._total - step) / rate:.0f} s left" if rate else "time left unknown"
            self.console.print(f"step {step}/{self._total}  {note}  {left}", highlight=False)


@contextmanager
def counting(what: str, console: Console | None = None) -> Iterator[Callable[[], None]]:
    """Counts how often what it gives is called; shown in a terminal only, and gone afterwards."""
    console = console or Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda: bar.advance(task)
