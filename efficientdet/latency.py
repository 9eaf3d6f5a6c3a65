"""How long works take: run in turn after some runs that do not count, and what their times are like."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

PERCENTILES = (50, 90, 95, 99)

Work = Callable[[], object]
"""What is timed; when it returns, all of it is done."""


@dataclass(frozen=True)
class Latency:
    """The milliseconds of the runs of one work.

    first: of the very first, in which much is prepared. times: of those that count, in order. cpu: what the process
    spent in each, on all its threads.
    """

    first: float
    times: tuple[float, ...]
    cpu: tuple[float, ...]

    def percentile(self, share: float) -> float:
        """The time that `share` percent of the runs keep within."""
        return float(np.percentile(self.times, share))

    def summary(self) -> dict[str, float]:
        """JSON-ready: `runs`, and in milliseconds `first_ms`, `mean_ms`, `min_ms`, `p50_ms` ..., `max_ms`, `cpu_ms`."""
        numbers = {"first": self.first, "mean": float(np.mean(self.times)), "min": min(self.times)}
        numbers |= {f"p{share}": self.percentile(share) for share in PERCENTILES}
        numbers |= {"max": max(self.times), "cpu": float(np.median(self.cpu))}
        return {"runs": len(self.times)} | {f"{name}_ms": round(value, 4) for name, value in numbers.items()}

    def over(self, other: Latency) -> float:
        """How many times as long as `other` this takes: the median over the turns that both had side by side."""
        return float(np.median(np.divide(self.times, other.times)))

    def cpu_over(self, other: Latency) -> float:
        """The same of the processor's time."""
        return float(np.median(np.divide(self.cpu, other.cpu)))


def measure(works: Mapping[str, Work], runs: int = 50, warm_up: int = 5) -> dict[str, Latency]:
    """The latencies of works by name, each run `warm_up` times and then `runs` times, all of them in turn.

    So what else the machine does meanwhile falls upon all of them alike.
    """
    turns = [{name: _timed(work) for name, work in works.items()} for _ in range(max(warm_up, 1) + runs)]
    counted = turns[-runs:]
    return {
        name: Latency(
            turns[0][name][0], tuple(turn[name][0] for turn in counted), tuple(turn[name][1] for turn in counted)
        )
        for name in works
    }


def _timed(work: Work) -> tuple[float, float]:
    """Milliseconds by the clock and of the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return 1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - cpu)
