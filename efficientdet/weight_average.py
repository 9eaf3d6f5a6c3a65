"""The exponential moving average of the weights that train, which evaluation and export use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf

from efficientdet.schedule import moving_average_rate


class WeightAverage:
    """Made under the strategy of the variables, whose values it begins with.

    Args:
      variables: what is averaged.
      decay: the share of the average that a step keeps, once there were enough steps; 0 for no average.

    Attributes:
      values: the averages, float32, in the order of the variables.
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float) -> None:
        self._variables, self._decay = variables, decay
        self.values = [tf.Variable(v.value, trainable=False) for v in variables]

    def reset(self) -> None:
        """Starts anew from the current weights."""
        for average, variable in zip(self.values, self._variables, strict=True):
            average.assign(variable.value)

    def move(self, steps_done: tf.Tensor) -> None:
        """Moves towards the current weights, as after so many steps: part of the training step."""
        rate = moving_average_rate(self._decay, tf.cast(steps_done, tf.float32))
        for average, variable in zip(self.values, self._variables, strict=True):
            average.assign_sub((average - variable.value) * rate)

    def use(self) -> None:
        """Replaces the weights by their average; the last thing a run does."""
        if self._decay:
            for average, variable in zip(self.values, self._variables, strict=True):
                variable.assign(average)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Replaces the weights for as long as the context lasts."""
        raw = [tf.identity(v.value) for v in self._variables]
        self.use()
        try:
            yield
        finally:
            for variable, value in zip(self._variables, raw, strict=True):
                variable.assign(value)
