"""Is a model good enough to ship? The bounds it must keep, the judgement, and its readable record."""

from efficientdet.blessing.bounds import Bounds
from efficientdet.blessing.champion_drops import champion_drops
from efficientdet.blessing.evidence import CLASS_METRICS, Champion, Evidence, Metrics
from efficientdet.blessing.judge import judge
from efficientdet.blessing.record import BLESSED, FILE_NAME, INCONCLUSIVE, NOT_BLESSED, Blessing, Override
from efficientdet.blessing.rule import Rule

__all__ = [
    "BLESSED",
    "CLASS_METRICS",
    "FILE_NAME",
    "INCONCLUSIVE",
    "NOT_BLESSED",
    "Blessing",
    "Bounds",
    "Champion",
    "Evidence",
    "Metrics",
    "Override",
    "Rule",
    "champion_drops",
    "judge",
]
