"""How far two data sets are apart, by their profiles: in the shares of their classes and of their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from efficientdet.data.profile import DISTRIBUTIONS, Counts, Profile

CATEGORICAL = ("classes", "box_size")
"""Distributions over names, measured as TensorFlow Data Validation does strings; the others as it does numbers."""
_SHOWN = 5


@dataclass(frozen=True)
class Distance:
    """How far one distribution is from another, 0 (equal) to 1 (nothing in common).

    measure: `l_infinity`, the greatest difference of a bin's share, or `jensen_shannon_divergence`, to base 2.
    bin: where the shares differ most.
    """

    measure: str
    value: float
    bin: str


@dataclass(frozen=True)
class Comparison:
    """One split against another: distance by distribution, and the classes that only one of them has."""

    split: str
    against: str
    distances: Mapping[str, Distance]
    new_classes: tuple[str, ...]
    gone_classes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        distances = {name: {**vars(d), "value": round(d.value, 6)} for name, d in self.distances.items()}
        return {
            "against": self.against,
            "distances": distances,
            "new_classes": list(self.new_classes),
            "gone_classes": list(self.gone_classes),
        }

    def __str__(self) -> str:
        """`eval against train: classes 0.061 (dog), box_size 0.020, …; new classes: cat`."""
        parts = [f"{name} {d.value:.3f}" + (f" ({d.bin})" if d.value else "") for name, d in self.distances.items()]
        for word, names in (("new", self.new_classes), ("gone", self.gone_classes)):
            if names:
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                parts.append(f"{word} classes: {', '.join(names[:_SHOWN])}{more}")
        return f"{self.split} against {self.against}: {', '.join(parts)}"


def compare(split: str, profile: Profile, against: str, baseline: Profile) -> Comparison:
    """Measures `profile`, of a split of this name, against the profile that `against` names."""
    distances = {name: distance(name, getattr(profile, name), getattr(baseline, name)) for name in DISTRIBUTIONS}
    ours, theirs = (sorted(p.classes) for p in (profile, baseline))
    new = tuple(name for name in ours if name not in baseline.classes)
    gone = tuple(name for name in theirs if name not in profile.classes)
    return Comparison(split, against, distances, new, gone)


def distance(name: str, a: Counts, b: Counts) -> Distance:
    """The distance of two distributions of this name; one without a count has nothing in common with any other."""
    bins = sorted({*a, *b})
    p, q = (np.array([counts.get(key, 0) for key in bins], np.float64) for counts in (a, b))
    measure = "l_infinity" if name in CATEGORICAL else "jensen_shannon_divergence"
    if not bins:
        return Distance(measure, 0.0, "")
    p, q = (counts / max(counts.sum(), 1) for counts in (p, q))
    differences = np.abs(p - q)
    if not (p.any() and q.any()):
        value = 1.0
    elif measure == "l_infinity":
        value = float(differences.max())
    else:
        value = jensen_shannon(p, q)
    return Distance(measure, value, bins[int(differences.argmax())])


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """The Jensen-Shannon divergence, to base 2 and therefore in 0..1, of two lists of shares `[k]`."""
    mean = (p + q) / 2
    divergences = (float(np.sum(s[s > 0] * np.log2(s[s > 0] / mean[s > 0]))) for s in (p, q))
    return min(max(sum(divergences) / 2, 0.0), 1.0)
