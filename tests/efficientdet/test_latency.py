"""Works are run in turn, and their times told apart; nothing here asserts how long anything takes."""

from __future__ import annotations

import pytest

from efficientdet.latency import Latency, measure


def test_works_are_run_in_turn_and_the_first_do_not_count():
    ran: list[str] = []
    found = measure({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, runs=3, warm_up=2)
    assert ran == ["a", "b"] * 5
    assert list(found) == ["a", "b"]
    for latency in found.values():
        assert len(latency.times) == len(latency.cpu) == 3
        assert min(latency.times) > 0
        assert latency.first > 0


def test_there_is_always_a_first_run_that_does_not_count():
    assert len(measure({"a": lambda: None}, runs=2, warm_up=0)["a"].times) == 2


def test_percentiles_of_known_times():
    latency = Latency(first=500.0, times=tuple(float(i) for i in range(1, 101)), cpu=(2.0,) * 100)
    assert latency.percentile(50) == pytest.approx(50.5)
    summary = latency.summary()
    assert (summary["runs"], summary["first_ms"], summary["cpu_ms"]) == (100, 500, 2)
    assert (summary["min_ms"], summary["p90_ms"], summary["max_ms"]) == (1, pytest.approx(90.1), 100)
    assert summary["mean_ms"] == pytest.approx(50.5)
    assert list(summary) == [
        "runs",
        *(f"{n}_ms" for n in ["first", "mean", "min", "p50", "p90", "p95", "p99", "max", "cpu"]),
    ]


def test_a_ratio_is_of_turns_side_by_side():
    """A machine that becomes three times as slow midway takes nothing from it."""
    slow, fast = Latency(0, (2.0, 2.0, 6.0, 6.0), (6.0,) * 4), Latency(0, (1.0, 1.0, 3.0, 3.0), (2.0,) * 4)
    assert slow.over(fast) == 2
    assert slow.cpu_over(fast) == 3
    assert fast.over(fast) == 1
