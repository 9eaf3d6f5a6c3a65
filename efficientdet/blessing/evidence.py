"""What is known of a candidate and of the champion it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from efficientdet.bootstrap import Interval
from efficientdet.coco_metric import COCO_METRICS

Numbers = Mapping[str, float | None]
Metrics = Mapping[str, Numbers]
"""COCO's numbers per variant, as `{"float": {"AP": 0.41, ...}, "int8": {...}}`; None where there is none."""
CLASS_METRICS = tuple(name for name in COCO_METRICS if name not in ("AR1", "AR10"))
"""Those that are measured of each class too."""


@dataclass(frozen=True)
class Champion:
    """The champion, seen on the same images as the candidate.

    name: as `digits@3`. drops: by variant its AP minus the candidate's, of the files that both ship, None where there
    is no groundtruth to find; empty where the classes differ. other_classes: whether it knows others than the examples.
    split_change: how the split it was judged on differs from this one, as the end of a sentence; empty if it does not.
    """

    name: str
    drops: Mapping[str, Interval | None] = field(default_factory=dict)
    other_classes: bool = False
    split_change: str = ""


@dataclass(frozen=True)
class Evidence:
    """What is known of a candidate.

    metrics: overall. images: by variant how many of the split's `total` were scored. unscored: why others were not, by
    image id. per_class: by variant and class name. slices: by slice (`feature=value`) and variant. missing_classes:
    those without groundtruth in the split. runtimes: by variant `latency_ms` and `bytes`. champion: None for none.
    unjudged: what ships besides, and is not scored.
    """

    metrics: Metrics
    images: Mapping[str, int]
    total: int
    unscored: Mapping[str, str] = field(default_factory=dict)
    per_class: Mapping[str, Metrics] = field(default_factory=dict)
    slices: Mapping[str, Metrics] = field(default_factory=dict)
    missing_classes: tuple[str, ...] = ()
    runtimes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    champion: Champion | None = None
    unjudged: Sequence[str] = ()
