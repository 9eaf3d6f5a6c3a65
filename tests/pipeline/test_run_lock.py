"""One run at a time in a root, and who holds it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from efficientdet.errors import EfficientDetError
from pipeline import local_runner
from pipeline.run_lock import LOCK_FILE, holder, only_run

HOLD = """
import sys
from pathlib import Path
from pipeline.run_lock import only_run
with only_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_while_the_first_lives(config):
    Path(config.root).mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, config.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(EfficientDetError, match=f"process {process.pid} is running this pipeline"):
        local_runner.run(config)
    assert holder(Path(config.root)) == process.pid
    process.kill()
    process.wait()
    assert holder(Path(config.root)) is None
    with only_run(Path(config.root)):
        pass


def test_a_second_run_may_wait_for_the_first(tmp_path, caplog):
    held = threading.Event()
    ended: list[float] = []

    def first() -> None:
        with only_run(tmp_path):
            held.set()
            deadline = time.monotonic() + 60
            while "waiting for its end" not in caplog.text and time.monotonic() < deadline:
                time.sleep(0.01)
            ended.append(time.monotonic())

    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    held.wait()
    with only_run(tmp_path, wait=True):
        assert ended[0] <= time.monotonic()
    thread.join()
    assert f"process {os.getpid()} is running this pipeline" in caplog.text


def test_a_lock_file_with_something_else_in_it(tmp_path):
    with only_run(tmp_path):
        (tmp_path / LOCK_FILE).write_text("mine")
        assert holder(tmp_path) == 0


def test_who_looks_does_not_stand_in_the_way(tmp_path):
    """However often somebody asks for the holder, a run begins."""
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            holder(tmp_path)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(3):
            with only_run(tmp_path):
                assert holder(tmp_path) == os.getpid()
    finally:
        ended.set()
        looker.join()
