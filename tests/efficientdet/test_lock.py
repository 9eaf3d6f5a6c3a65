"""A folder belongs to one process, for as long as that lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from efficientdet.errors import ConfigError
from efficientdet.lock import lock

HOLD = (
    "import sys, pathlib; from efficientdet.lock import lock; "
    "held = lock(pathlib.Path(sys.argv[1])); print('held', flush=True); input()"
)


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path):
    folder = tmp_path / "run"
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match="another process is at work here"):
        lock(folder)
    first.kill()
    first.wait()
    lock(folder).close()
    lock(folder).close()


def test_a_place_that_is_no_folder_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/run: cannot be written to \(Not a directory\); name another folder"):
        lock(tmp_path / "file/run")
