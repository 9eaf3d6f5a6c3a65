"""Variables that training leaves as they are."""

from __future__ import annotations

import re

import keras

from efficientdet.errors import ConfigError
from efficientdet.model.detector import reference_name


def unfrozen(model: keras.Model, expression: str | None) -> list[keras.Variable]:
    """Trainable variables whose google/automl name the expression does not match from its start.

    With or without the `:0` that its names end with.
    """
    if not expression:
        return list(model.trainable_variables)
    names = [reference_name(v) for v in model.trainable_variables]
    frozen = [bool(re.match(expression, name) or re.match(expression, f"{name}:0")) for name in names]
    kept = [v for v, stays in zip(model.trainable_variables, frozen, strict=True) if not stays]
    if not kept or len(kept) == len(model.trainable_variables):
        what = "everything" if not kept else "nothing"
        example = reference_name(model.variables[0])
        raise ConfigError(f"training.freeze={expression!r}: matches {what}; names look like {example}")
    return kept
