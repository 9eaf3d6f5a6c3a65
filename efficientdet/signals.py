"""SIGTERM as a wish that a loop can look at: what a scheduler sends before it takes a machine away."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from efficientdet.errors import PreemptedError


class Termination:
    """Context manager within which SIGTERM only sets `asked`.

    Outside the main thread, where Python handles no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def check(self) -> None:
        """Raises PreemptedError when SIGTERM has come; to be called where everything is saved."""
        if self.asked:
            raise PreemptedError("stopped by SIGTERM, everything is saved; the same command goes on")

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
