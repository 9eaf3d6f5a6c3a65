"""The score below which a detection of a class is dropped, in the form that TFLite clients read.

Their metadata know one threshold for all classes only, but a calibration of scores for each class, with a least
score: one that changes nothing else is a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping

from efficientdet.errors import ModelError
from efficientdet.label_map import LabelMap

UNCHANGED = "1,1,0"
"""Scale, slope and offset of the sigmoid that undoes the inverse logistic function before it."""


def calibration_text(label_map: LabelMap, thresholds: Mapping[str, float]) -> str:
    """A line per class, in their order: a calibration that makes scores below the class's threshold zero.

    `thresholds` are 0 to 1, by class name; a class that is left out keeps all its scores. Raises ModelError for a
    name that is no class, or another value.
    """
    if strangers := sorted(set(thresholds) - set(label_map.names)):
        known = ", ".join(label_map.names[:5])
        raise ModelError(f"score threshold of {strangers[0]!r}: not a class of this model, which knows {known}...")
    for name, threshold in thresholds.items():
        if not 0 <= threshold <= 1:
            raise ModelError(f"score threshold of {name!r}: {threshold} is not from 0 to 1; give a score")
    lines = (f"{UNCHANGED},{thresholds[name]:.6f}" if name in thresholds else UNCHANGED for name in label_map.names)
    return "".join(f"{line}\n" for line in lines)
