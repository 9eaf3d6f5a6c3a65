"""The process between a guarded command and the one that watches it: whatever the command starts stays below it.

It is run by its path, with the file descriptor to tell on and the command: a line with the command's process id, then
one with its exit code, negative for a signal. It ends when all that the command left behind has ended.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

MAX_FILE_BYTES = 64 << 20
"""Of any file that the command writes, its messages included."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(tell: int, command: list[str]) -> None:
    """Runs the command, and takes in the children of those of its processes that end before them."""
    _restrain()
    process = subprocess.Popen(command)
    os.write(tell, b"%d\n" % process.pid)
    os.write(tell, b"%d\n" % process.wait())
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _restrain() -> None:
    """Files of bounded size, no core dumps; on Linux also first in line when the kernel needs memory.

    There this process ends with the one that started it, and is told of orphans below it, who else leave its sight.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text("1000")
        kernel = ctypes.CDLL(None)
        kernel.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(PR_SET_CHILD_SUBREAPER, 1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
