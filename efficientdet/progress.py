"""Progress of a long loop: a live bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

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

T = TypeVar("T")

# The bars of a larger display, while one has the terminal: rich draws one live display at a time.
_shown_by: list[Progress] | None = None


@contextmanager
def bars_shown_elsewhere() -> Iterator[list[Progress]]:
    """For the time of a larger live display: bars do not draw themselves, and are in this list while they go on.

    The tasks of those that count images have a field `rate`, images per second.
    """
    global _shown_by
    _shown_by = []
    try:
        yield _shown_by
    finally:
        _shown_by = None


@contextmanager
def _drawn(bar: Progress) -> Iterator[None]:
    """Has a bar drawn, by itself or by the display that has the terminal."""
    display = _shown_by
    if display is None:
        with bar:
            yield
        return
    display.append(bar)
    try:
        yield
    finally:
        display.remove(bar)


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
        self._task = self._bar.add_task("train", total=total, completed=first, note="", rate=0.0)
        self._drawing = _drawn(self._bar)

    def __enter__(self) -> Self:
        self._drawing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawing.__exit__(kind, error, trace)

    def update(self, step: int, loss: float) -> None:
        """Shows that `step` steps are done and the last one's loss."""
        now = time.monotonic()
        if step == self._first + 1:
            self._started = now  # the first step compiles the graph: it says nothing about the speed
        seconds = max(now - self._started, 1e-9)
        rate = (step - self._first - 1) / seconds
        images = rate * self._batch_size
        note = f"loss {loss:.3f}  {images:.1f} images/s"
        self._bar.update(self._task, completed=step, note=note, rate=images)
        due = now - self._logged >= LOG_SECONDS or step == self._total
        if self._bar.disable and due:
            self._logged = now
            left = f"{(self._total - step) / rate:.0f} s left" if rate else "time left unknown"
            self.console.print(f"step {step}/{self._total}  {note}  {left}", highlight=False)


class Watched(Generic[T]):
    """Images on their way through a loop, which shows how many are done, how fast, and the time left.

    rate: images per second of all the time since the first was asked for. total: None where nobody knows it.
    """

    def __init__(self, images: Iterable[T], total: int | None, what: str, console: Console | None = None) -> None:
        self.rate = 0.0
        self._images, self._total, self._what = images, total, what
        self._console = console or Console(stderr=True)

    def __iter__(self) -> Iterator[T]:
        columns = (TextColumn(self._what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
        shown = self._console.is_terminal
        bar = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True, disable=not shown)
        task = bar.add_task(self._what, total=self._total, note="", rate=0.0)
        started = first = logged = time.monotonic()
        with _drawn(bar):
            for done, image in enumerate(self._images, start=1):
                yield image
                now = time.monotonic()
                if done == 1:
                    first = logged = now  # before the first the graph is compiled: it says nothing about the rest
                self.rate = done / max(now - started, 1e-9)
                bar.update(task, completed=done, note=f"{self.rate:.1f} images/s", rate=self.rate)
                if not shown and now - logged >= LOG_SECONDS:
                    logged = now
                    pace = (done - 1) / (now - first)
                    left = "" if self._total is None else f"  {(self._total - done) / pace:.0f} s left"
                    of = "" if self._total is None else f"/{self._total}"
                    self._console.print(f"{self._what} {done}{of}  {pace:.1f} images/s{left}", highlight=False)


@contextmanager
def counting(what: str, console: Console | None = None) -> Iterator[Callable[[], None]]:
    """Counts how often what it gives is called; shown in a terminal only, and gone afterwards."""
    console = console or Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed}"), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(what, total=None)
    with _drawn(bar):
        yield lambda: bar.advance(task)
