"""What a person sees of a long loop."""

from __future__ import annotations

import io

from rich.console import Console

from efficientdet import progress
from efficientdet.progress import StepProgress, Watched, bars_shown_elsewhere, counting


def test_a_log_gets_lines_with_speed_and_time_left(monkeypatch):
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    with StepProgress(total=10, first=4, batch_size=8, console=console) as steps:
        for step in range(5, 11):
            steps.update(step, loss=1 / step)
    lines = console.file.getvalue().splitlines()
    assert lines[-1].startswith("step 10/10  loss 0.100  1.6 images/s  0 s left")
    assert "step 6/10" in lines[0]
    assert "20 s left" in lines[0]


def test_a_terminal_gets_a_live_bar():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with StepProgress(total=3, first=0, batch_size=2, console=console) as steps:
        for step in range(1, 4):
            steps.update(step, loss=0.5)
    shown = console.file.getvalue()
    assert "3/3" in shown
    assert "images/s" in shown


def test_a_count_is_shown_in_a_terminal_only():
    shown = {}
    for terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
        with counting("checked images", console) as progress:
            for _ in range(7):
                progress()
        shown[terminal] = console.file.getvalue()
    assert shown[False] == ""
    assert "checked images 7" in shown[True]


def test_watched_images_pass_with_speed_and_time_left(monkeypatch):
    clock = iter([0, 15, *range(20, 1000, 5)])  # the first takes longest
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    watched = Watched("abcde", total=5, what="evaluated", console=console)
    assert "".join(watched) == "abcde"
    assert console.file.getvalue().splitlines() == [
        "evaluated 3/5  0.2 images/s  10 s left",
        "evaluated 5/5  0.2 images/s  0 s left",
    ]
    assert watched.rate == 5 / 35, "which is over all of the time"


def test_a_terminal_watches_a_bar():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    assert list(Watched(range(3), total=3, what="evaluated", console=console)) == [0, 1, 2]
    assert "3/3" in console.file.getvalue()


def test_a_total_that_nobody_knows(monkeypatch):
    clock = iter([0, 15, *range(20, 1000, 5)])
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    assert "".join(Watched("abcde", total=None, what="detected", console=console)) == "abcde"
    assert console.file.getvalue().splitlines() == ["detected 3  0.2 images/s", "detected 5  0.2 images/s"]
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    assert list(Watched(range(3), total=None, what="detected", console=terminal)) == [0, 1, 2]
    assert "3/?" in terminal.file.getvalue()


def test_a_larger_display_gets_the_bars_while_they_go_on():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with bars_shown_elsewhere() as bars:
        with StepProgress(total=9, first=0, batch_size=2, console=console) as steps:
            steps.update(3, loss=0.5)
            [[task]] = [bar.tasks for bar in bars]
            assert (task.completed, task.total, task.fields["rate"] > 0) == (3, 9, True)
        assert bars == []
        for _ in Watched(range(3), total=3, what="evaluated", console=console):
            assert len(bars) == 1
        with counting("checked images", console):
            assert len(bars) == 1
        assert bars == []
    assert console.file.getvalue() == ""
    with StepProgress(total=1, first=0, batch_size=2, console=console):
        pass
    assert "train" in console.file.getvalue()
