"""Does what ships run where it is used? What is asked, how each file did, and the readable record."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from efficientdet.atomic_file import write_json
from efficientdet.errors import DataError
from efficientdet.free_memory import readable
from efficientdet.settings import Settings

FILE_NAME = "infra_blessing.json"
INFRA_BLESSED, INFRA_NOT_BLESSED = "INFRA_BLESSED", "INFRA_NOT_BLESSED"
"""TFX's names, of the outcome and of the empty file that says it."""

Outcome = Literal["PASSED", "FAILED"]


class Infra(Settings):
    """What each file that ships must do in the runtime of its consumers, on the CPU of this machine."""

    images: int = Field(16, ge=1, le=200, description="Images of the split that are run.")
    threads: int = Field(1, ge=1, le=16, description="Threads that a file may use; what is measured depends on them.")
    timeout_s: float = Field(600, gt=0, le=86_400, description="Seconds that a file may take, loading included.")
    max_latency_ms: float | None = Field(
        None, gt=0, description="Ceiling of the median time of one image, from its bytes to detections."
    )
    max_memory_mb: float | None = Field(
        None, gt=0, description="Ceiling of a process's memory; null: nine tenths of what is free."
    )
    min_agreement: float = Field(
        0.98, ge=0, le=1, description="Floor of the share of detections that are those of the evaluation, by score."
    )


@dataclass(frozen=True)
class Runtime:
    """How one file did.

    bytes: its size, of a SavedModel all its files. latency_ms, latency_p95_ms: median and 95th percentile of one
    image, from its bytes to detections, after a few that do not count; None when it did not come to that.
    peak_bytes: most memory of its process, runtime included. agreement: share of detections that are those of the
    evaluation; None when nothing was compared. reason: what it failed by, a sentence; else empty.
    """

    variant: str
    outcome: Outcome
    reason: str
    bytes: int
    latency_ms: float | None = None
    latency_p95_ms: float | None = None
    peak_bytes: int = 0
    agreement: float | None = None

    def __str__(self) -> str:
        if self.latency_ms is None:
            return f"{self.variant}: {readable(self.bytes)}, did not run"
        times = f"{self.latency_ms:.1f} ms an image (p95 {self.latency_p95_ms:.1f})"
        return f"{self.variant}: {readable(self.bytes)}, {times}, {readable(self.peak_bytes)} of memory"


@dataclass(frozen=True)
class InfraBlessing:
    """The verdict on a bundle.

    images, threads: how it was tried. machine: where, as latency depends on it. untried: what ships besides.
    """

    runtimes: tuple[Runtime, ...]
    images: int
    threads: int
    machine: str
    untried: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """INFRA_BLESSED when there are files and each passed, else INFRA_NOT_BLESSED."""
        return INFRA_BLESSED if self.blessed else INFRA_NOT_BLESSED

    @property
    def blessed(self) -> bool:
        return bool(self.runtimes) and all(runtime.outcome == "PASSED" for runtime in self.runtimes)

    @property
    def reasons(self) -> list[str]:
        """A sentence for each file that failed."""
        return [runtime.reason for runtime in self.runtimes if runtime.outcome == "FAILED"]

    def write(self, folder: str | Path) -> Path:
        """Writes `infra_blessing.json` into `folder`, complete or not at all, and returns its path."""
        content = {"outcome": self.outcome, "reasons": self.reasons, **asdict(self)}
        return write_json(Path(folder) / FILE_NAME, content)

    @classmethod
    def load(cls, folder: str | Path) -> InfraBlessing:
        """Reads `infra_blessing.json` in `folder`; raises DataError when it is missing or contradicts itself."""
        path = Path(folder) / FILE_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            outcome, _ = values.pop("outcome"), values.pop("reasons")
            runtimes = tuple(Runtime(**runtime) for runtime in values.pop("runtimes"))
            blessing = cls(runtimes, **values | {"untried": tuple(values.get("untried", ()))})
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(f"{path}: is no verdict of the InfraValidator ({error}); run it again") from error
        if outcome != blessing.outcome:
            raise DataError(f"{path}: says {outcome}, but its files {blessing.outcome}; run the InfraValidator again")
        return blessing
