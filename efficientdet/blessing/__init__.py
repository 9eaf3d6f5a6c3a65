"""Is a model good enough to ship? The bounds it must keep, the judgement, and its readable record."""

from efficientdet.blessing.bounds import Bounds
from efficientdet.blessing.evidence import NO_CHAMPION, Champion, Evidence, Metrics
from efficientdet.blessing.judge import judge
from efficientdet.blessing.record import BLESSED, FILE_NAME, INCONCLUSIVE, NOT_BLESSED, Blessing, Override
from efficientdet.blessing.rule import Rule

VARIANTS = ("float", "int8")

__all__ = [
    "BLESSED",
    "FILE_NAME",
    "INCONCLUSIVE",
    "NOT_BLESSED",
    "NO_CHAMPION",
    "VARIANTS",
    "Blessing",
    "Bounds",
    "Champion",
    "Evidence",
    "Metrics",
    "Override",
    "Rule",
    "judge",
]
