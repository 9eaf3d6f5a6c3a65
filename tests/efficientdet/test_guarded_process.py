"""What a process does to itself does not reach the one that started it: real crashes, hangs and floods."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from efficientdet.guarded_process import Ended, run_guarded
from efficientdet.guardian import MAX_FILE_BYTES

MB = 1_000_000


@pytest.fixture
def run(tmp_path: Path):
    """Runs Python code under guard."""

    def guarded(code: str, seconds: float = 60, memory_bytes: int | None = None, **env: str) -> Ended:
        return run_guarded([sys.executable, "-c", code], tmp_path / "messages", seconds, memory_bytes, env)

    return guarded


def test_one_that_does_its_work(run, tmp_path: Path):
    ended = run("import os; print('done', os.environ['COLOUR'])", COLOUR="green")
    assert ended.failure == ""
    assert (tmp_path / "messages").read_text() == "done green\n"


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("import ctypes; ctypes.string_at(0)", "crashed with SIGSEGV (Segmentation fault)"),
        ("import os, sys; sys.stderr.write('no such op\\n'); os.abort()", "crashed with SIGABRT (Aborted): no such op"),
        (
            "import os, signal; print('INFO: fine'); os.kill(os.getpid(), signal.SIGFPE)",
            "crashed with SIGFPE (Floating point exception)",
        ),
        ("import os; os.kill(os.getpid(), 40)", f"crashed with signal 40 ({signal.strsignal(40)})"),
        ("raise SystemExit('no\\x1b[2J more')", r"ended with exit code 1: no\x1b[2J more"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "was killed from outside with SIGKILL (Killed), most often for want of memory",
        ),
    ],
)
def test_what_it_died_of_is_told(run, code: str, failure: str):
    assert run(code).failure == failure


def gone(pid: int) -> bool:
    """Whether a process has ended; not asked of one that another may follow under the same number."""
    return not Path(f"/proc/{pid}").exists()


def test_one_that_hangs_is_stopped_with_its_children(run, tmp_path: Path):
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
while True: pass
"""
    assert run(code, seconds=1.5).failure == "was still running after 1.5 s, which is its time limit, and was stopped"
    assert gone(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize("ends", [True, False], ids=["after its parent", "with its parent"])
def test_a_child_that_leaves_its_session_and_its_parent_is_stopped_too(run, tmp_path: Path, ends: bool):
    code = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    open({str(tmp_path / "new")!r}, "w").write(str(os.getpid()))
    os.rename({str(tmp_path / "new")!r}, {str(tmp_path / "child")!r})
    time.sleep(600)
while not os.path.exists({str(tmp_path / "child")!r}) or not {ends}:
    time.sleep(0.01)
"""
    assert ("time limit" in run(code, seconds=60 if ends else 1).failure) is not ends
    assert gone(int((tmp_path / "child").read_text()))


def test_the_memory_of_such_a_child_counts(run):
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    held = []
    while True:
        held.append(bytearray(10_000_000))
        time.sleep(0.001)
time.sleep(60)
"""
    ended = run(code, memory_bytes=200 * MB)
    assert ended.failure == "wanted more than 200 MB of memory, which is its limit, and was stopped"
    assert ended.peak_bytes > 200 * MB


def test_children_that_have_ended_do_no_harm(run):
    ended = run("import subprocess; [subprocess.run(['true']) for _ in range(20)]; raise SystemExit(3)")
    assert ended.failure == "ended with exit code 3"


def test_what_cannot_be_started(tmp_path: Path):
    ended = run_guarded([str(tmp_path / "nothing")], tmp_path / "messages", 60, None, {})
    assert ended.failure.startswith("ended with exit code 1: FileNotFoundError: ")


def test_other_children_of_the_same_parent_are_left_alone(run):
    with subprocess.Popen(["sleep", "60"]) as other:
        assert run("pass").failure == ""
        assert other.poll() is None
        other.kill()


def test_one_that_eats_memory_is_stopped(run):
    ended = run("held = []\nwhile True: held.append(bytearray(10_000_000))", memory_bytes=200 * MB)
    assert ended.failure == "wanted more than 200 MB of memory, which is its limit, and was stopped"
    assert ended.peak_bytes > 200 * MB


def test_its_memory_is_its_own(run):
    """What getrusage says of a child includes what its parent held when it started it."""
    held = bytearray(os.urandom(1) * 300 * MB)
    ended = run("import time; held = bytearray(60_000_000); time.sleep(0.5)", memory_bytes=250 * MB)
    assert ended.failure == ""
    assert 60 * MB < ended.peak_bytes < 150 * MB < len(held)


def test_it_cannot_fill_the_disk(run, tmp_path: Path):
    assert run("while True: print('x' * 1_000_000)").failure.startswith("ended with exit code 1")
    assert (tmp_path / "messages").stat().st_size <= MAX_FILE_BYTES


def test_it_goes_first_when_memory_is_short(run):
    """The guard says so just after the start, so the child looks until it is."""
    assert run("while open('/proc/self/oom_score_adj').read() != '1000\\n': pass").failure == ""
