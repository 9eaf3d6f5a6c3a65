"""What changes from step to step: the learning rate, and how far the average of the weights follows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="efficientdet")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then one of three ways down.

    Args:
      method: how the rate falls.
        `cosine`: along half a cosine from `peak` at the end of the warm-up to zero at `total_steps`.
        `stepwise`: from `peak` to a tenth and a hundredth of it, at `drop_steps`.
        `polynomial`: peak * (1 - step / total_steps)**power, so that the end of the warm-up meets it below `peak`.
      peak: the highest rate.
      warmup_init: the rate at step 0, if there is a warm-up.
      warmup_steps: steps from `warmup_init` to `peak`.
      total_steps: steps of the run.
      drop_steps: first steps at a tenth and at a hundredth of the peak.
      power: exponent of `polynomial`.
      compat: google/automl's cosine: it runs through half its period in total_steps - warmup_steps counted from
        step 0. So it falls at the end of the warm-up, and rises again over the last `warmup_steps`.

    Called with a step, counted from 0 and of any dtype, it returns the rate, `[]` float32.
    """

    def __init__(
        self,
        method: str,
        peak: float,
        *,
        warmup_init: float,
        warmup_steps: int,
        total_steps: int,
        drop_steps: Sequence[float] = (math.inf, math.inf),
        power: float = 0.9,
        compat: bool = False,
    ) -> None:
        self.method, self.peak, self.compat = method, peak, compat
        self.warmup_init, self.warmup_steps, self.total_steps = warmup_init, warmup_steps, total_steps
        self.drop_steps, self.power = tuple(drop_steps), power
        self._fraction = {"cosine": self._cosine, "stepwise": self._stepwise, "polynomial": self._polynomial}[method]

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        step = ops.cast(step, "float32")
        rising = self.warmup_init + step * ((self.peak - self.warmup_init) / max(1, self.warmup_steps))
        return ops.where(step < self.warmup_steps, rising, self.peak * self._fraction(step))

    def get_config(self) -> dict[str, Any]:
        names = ["method", "peak", "warmup_init", "warmup_steps", "total_steps", "drop_steps", "power", "compat"]
        return {name: getattr(self, name) for name in names}

    def _cosine(self, step: keras.KerasTensor) -> keras.KerasTensor:
        length = max(1, self.total_steps - self.warmup_steps)
        done = step / length if self.compat else ops.clip((step - self.warmup_steps) / length, 0.0, 1.0)
        return 0.5 * (1.0 + ops.cos(math.pi * done))

    def _stepwise(self, step: keras.KerasTensor) -> keras.KerasTensor:
        first, second = self.drop_steps
        return ops.where(step < first, 1.0, ops.where(step < second, 0.1, 0.01))

    def _polynomial(self, step: keras.KerasTensor) -> keras.KerasTensor:
        return ops.maximum(1.0 - step / self.total_steps, 0.0) ** self.power


def moving_average_rate(decay: float, steps_done: keras.KerasTensor) -> keras.KerasTensor:
    """The share `[]` float32 by which the average of the weights moves towards them after a step.

    Args:
      decay: share of the average that stays, in the long run.
      steps_done: steps before this one. While they are few the average follows faster.
    """
    done = ops.cast(steps_done, "float32")
    return 1.0 - ops.minimum(decay, (1.0 + done) / (10.0 + done))
