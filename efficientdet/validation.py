"""May a run go on with its data? What is wrong with them, how far they moved, and how bad that is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from efficientdet.data.drift import Comparison, compare
from efficientdet.data.profile import Profile
from efficientdet.errors import DataError
from efficientdet.settings import Settings

ANOMALIES_FILE = "anomalies.json"
DRIFT_FILE = "drift.json"
TRAIN = "train"

Severity = Literal["error", "warning"]


class Validation(Settings):
    """What is asked of the data before anything is trained on them."""

    fail_on: Literal["error", "warning", "never"] = Field(
        "error", description="The least severity of an anomaly that fails the run."
    )
    max_skew: float | None = Field(
        None, ge=0, le=1, description="Greatest distance of a split from train; null: reported only."
    )
    max_drift: float | None = Field(
        None, ge=0, le=1, description="Greatest distance of a split from the champion's; null: reported only."
    )
    shift_severity: Severity = Field("error", description="What a greater skew or drift counts as.")


@dataclass(frozen=True)
class Anomaly:
    """Something about a split that should not be. feature: of the records, or the distribution that moved."""

    severity: Severity
    split: str
    feature: str
    message: str

    def __str__(self) -> str:
        return f"split {self.split}, {self.feature or 'whole'}: {self.message}"


@dataclass(frozen=True)
class Drift:
    """How far the splits are from train (skew), and from those the champion was trained on (drift).

    baseline: the champion as `name@version`; empty if nothing can be compared with, and `note` says why.
    """

    skew: Sequence[Comparison]
    drift: Sequence[Comparison] = field(default=())
    baseline: str = ""
    note: str = ""

    @classmethod
    def measure(
        cls, splits: Mapping[str, Profile], baseline: str, before: Mapping[str, Profile] | None, note: str
    ) -> Drift:
        """Compares the profiles of a run's splits with each other and with `before`, those of `baseline`."""
        others = [split for split in splits if split != TRAIN and TRAIN in splits]
        skew = [compare(split, splits[split], TRAIN, splits[TRAIN]) for split in others]
        if before is None:
            return cls(skew, note=f"no baseline: {note}")
        both = [split for split in splits if split in before]
        drift = [compare(split, splits[split], f"{baseline}'s {split}", before[split]) for split in both]
        return cls(skew, drift, baseline)

    def anomalies(self, validation: Validation) -> list[Anomaly]:
        """The distances above their bounds."""
        bounded = (("max_skew", validation.max_skew, self.skew), ("max_drift", validation.max_drift, self.drift))
        return [
            Anomaly(
                validation.shift_severity,
                comparison.split,
                name,
                f"{distance.value:.3f} away from {comparison.against}, most at {distance.bin!r},"
                f" above validation.{key}={bound:g}",
            )
            for key, bound, comparisons in bounded
            for comparison in comparisons
            for name, distance in comparison.distances.items()
            if bound is not None and distance.value > bound
        ]

    def to_dict(self) -> dict[str, Any]:
        """The content of `drift.json`: {baseline, note, skew, drift}, the last two by split."""
        by_split = {
            kind: {comparison.split: comparison.to_dict() for comparison in comparisons}
            for kind, comparisons in (("skew", self.skew), ("drift", self.drift))
        }
        return {"baseline": self.baseline, "note": self.note, **by_split}

    def __str__(self) -> str:
        """A line for each comparison, or why there is none."""
        lines = [f"skew of {comparison}" for comparison in self.skew]
        lines += [f"drift of {comparison}" for comparison in self.drift] or [f"drift: {self.note}"]
        return "\n".join(lines)


def to_json(anomalies: Iterable[Anomaly], drift: Drift | None = None) -> str:
    """The text of `anomalies.json`; with `drift` that of a refusal, which holds both."""
    listed = {"anomalies": [asdict(anomaly) for anomaly in anomalies]}
    return json.dumps(listed | ({"drift": drift.to_dict()} if drift else {}), ensure_ascii=False, indent=1) + "\n"


def require(anomalies: Sequence[Anomaly], fail_on: str, listed: str | Path) -> None:
    """Raises DataError when an anomaly is as severe as `fail_on`; the sentence says that `listed` lists them all."""
    severities = {"error": ("error",), "warning": ("error", "warning"), "never": ()}[fail_on]
    failing = [anomaly for anomaly in anomalies if anomaly.severity in severities]
    if failing:
        more = f" (and {len(failing) - 1} more)" if failing[1:] else ""
        raise DataError(
            f"{failing[0]}{more}; mend the data or what is asked of them, or set validation.fail_on;"
            f" {listed} lists all anomalies"
        )
