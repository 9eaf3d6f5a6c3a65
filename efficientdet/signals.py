"""SIGTERM, what a scheduler sends before it takes a machine away, and others as a wish that a loop can look at."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from efficientdet.errors import PreemptedError


class Termination:
    """Context manager within which SIGTERM, or the signals that are named, only set `asked`.

    A second SIGINT is Python's KeyboardInterrupt again. Outside the main thread, where Python handles no signals, it
    does nothing.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self.asked = False
        self._signals = signals or (signal.SIGTERM,)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in self._signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def check(self) -> None:
        """Raises PreemptedError when SIGTERM has come; to be called where everything is saved."""
        if self.asked:
            raise PreemptedError("stopped by SIGTERM, everything is saved; the same command goes on")

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
