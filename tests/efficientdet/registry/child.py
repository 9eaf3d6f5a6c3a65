"""Work in a forked process, which is spared importing MLflow again."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable


def in_child(work: Callable[[], object]) -> int:
    """Starts `work` in a forked process; returns its id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    return child


def exit_code(child: int) -> int:
    """0, or minus the signal that ended the process."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at_copy(number: int) -> None:
    """Lets this process be killed, as by `kill -9`, in the midst of its n-th copy of a file."""
    copies = itertools.count(1)

    def strike(event: str, _: object) -> None:
        if event in ("shutil.copyfile", "shutil.copystat") and next(copies) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(strike)
