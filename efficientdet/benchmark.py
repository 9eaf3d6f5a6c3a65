"""The verb `benchmark`: how long a model takes, its network alone and from pictures to detections."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from efficientdet.detector_file import CALLED, CORES, Kind, locate
from efficientdet.errors import ConfigError
from efficientdet.latency import Latency, Work, measure
from efficientdet.tflite_detector import MAX_THREADS
from efficientdet.workload import Precision, open_workload

Mode = Literal["network", "end_to_end"]
MODES: tuple[Mode, ...] = ("network", "end_to_end")
PICTURE = (480, 640)
"""Height and width of the picture that is made where none is given."""


@dataclass(frozen=True)
class Plan:
    """What to time and how.

    model: a path, as `open_detector` takes it. modes: MODES or some of them. batches: numbers of images at a time.
    threads: that it may use; None: all cores. precision, xla, settings: as of `open_workload`. picture: `[h, w, 3]`
    uint8 RGB; None: one of coloured blocks. runs, warm_up: as of `measure`.
    """

    model: Path
    modes: Sequence[Mode] = MODES
    batches: Sequence[int] = (1,)
    threads: int | None = None
    precision: Precision = "float32"
    xla: bool = False
    settings: Sequence[str] = field(default=())
    picture: NDArray[np.uint8] | None = None
    runs: int = 50
    warm_up: int = 5

    def check(self) -> tuple[Kind, Path]:
        """The kind of the model and where it lies; ConfigError in a sentence when the plan does not suit it."""
        kind, path = locate(self.model)
        fixed = {
            f"--precision={self.precision}": self.precision != "float32",
            "--xla": self.xla,
            "--set": bool(self.settings),
        }
        asked = [option for option, given in fixed.items() if given]
        if asked and kind != "checkpoint":
            raise ConfigError(
                f"{asked[0]}: {path} is {CALLED[kind]}, in which all of that is settled; leave it out, or give the "
                "folder of the training whose network it is"
            )
        batch = max(self.batches)
        if kind == "tflite" and batch > 1:
            raise ConfigError(f"--batch-size={batch}: {path} takes one image at a time; leave it out")
        if kind == "tflite" and (self.threads or 1) > MAX_THREADS:
            raise ConfigError(f"--threads={self.threads}: a TFLite file runs on {MAX_THREADS} at most; ask for fewer")
        return kind, path


@dataclass(frozen=True)
class Row:
    """How long one mode takes for a number of images."""

    mode: Mode
    batch: int
    latency: Latency

    @property
    def images_per_second(self) -> float:
        """By the median run."""
        return 1000 * self.batch / self.latency.percentile(50)

    def record(self) -> dict[str, object]:
        """JSON-ready."""
        known: dict[str, object] = {"mode": self.mode, "batch": self.batch}
        return known | self.latency.summary() | {"images_per_second": round(self.images_per_second, 3)}


@dataclass(frozen=True)
class Report:
    """What came of a plan.

    place: of the file. model: name of the network. input_size, picture: (height, width) of its input, and of what it
    was shown.
    """

    kind: Kind
    place: Path
    model: str
    input_size: tuple[int, int]
    picture: tuple[int, int]
    threads: int
    rows: tuple[Row, ...]

    def overheads(self) -> Iterator[tuple[int, float]]:
        """Per batch size, how much longer than the network alone all of it takes: 0.1 for a tenth."""
        found = {(row.mode, row.batch): row.latency for row in self.rows}
        for (mode, batch), latency in found.items():
            if mode == "end_to_end" and ("network", batch) in found:
                yield batch, latency.over(found["network", batch]) - 1

    def record(self) -> dict[str, object]:
        """JSON-ready."""
        return {
            "file": str(self.place),
            "kind": self.kind,
            "model": self.model,
            "input_size": list(self.input_size),
            "picture": list(self.picture),
            "threads": self.threads,
            "machine": f"{platform.machine()}, {CORES} cores",
            "rows": [row.record() for row in self.rows],
            "end_to_end_over_network": {str(batch): round(overhead, 4) for batch, overhead in self.overheads()},
        }


def benchmark(plan: Plan) -> Report:
    """Times what the plan asks for, both modes of a batch size in turn; first of all raises what `Plan.check` does."""
    kind, path = plan.check()
    picture = blocks(*PICTURE) if plan.picture is None else plan.picture
    workload = open_workload(kind, path, plan.threads, plan.precision, plan.xla, plan.settings)
    rows = []
    for batch in plan.batches:
        works: dict[str, Work] = {}
        if "network" in plan.modes:
            works["network"] = workload.network(batch)
        if "end_to_end" in plan.modes:
            works["end_to_end"] = workload.end_to_end(np.repeat(picture[None], batch, axis=0))
        found = measure(works, plan.runs, plan.warm_up)
        rows += [Row(mode, batch, found[mode]) for mode in MODES if mode in works]
    config, threads = workload.config, plan.threads or CORES
    size = (picture.shape[0], picture.shape[1])
    return Report(kind, path, config.model.name, config.model.input_size, size, threads, tuple(rows))


def blocks(height: int, width: int) -> NDArray[np.uint8]:
    """`[height, width, 3]` uint8: blocks of 20 pixels in colours drawn from a fixed seed."""
    coarse = np.random.default_rng(0).integers(0, 256, (-(-height // 20), -(-width // 20), 3), np.uint8)
    return coarse.repeat(20, axis=0).repeat(20, axis=1)[:height, :width]
