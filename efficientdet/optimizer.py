"""The optimizer of a run, its learning rate, and the clipping of gradients before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from efficientdet.config import Config, TrainingConfig
from efficientdet.schedule import LearningRate

FIRST_LOSS_SCALE = 2.0**15  # of arXiv 1710.03740 and of Keras


class _Summed:
    """For optimizers whose gradients are summed over the replicas before they come: clipping needs the sum."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list:
        return list(grads_and_vars)


class SGD(_Summed, keras.optimizers.SGD):
    """Keras' SGD of gradients that are the same on all replicas."""


class Adam(_Summed, keras.optimizers.Adam):
    """Keras' Adam of gradients that are the same on all replicas."""


def build_optimizer(training: TrainingConfig, rate: LearningRate) -> keras.optimizers.Optimizer:
    """SGD with momentum, or Adam whose first decay rate is the momentum; in float16 with a scale for the loss.

    Its variables are named alike in every process, as checkpoints need.
    """
    optimizer: keras.optimizers.Optimizer
    if training.optimizer == "adam":
        optimizer = Adam(rate, beta_1=training.momentum, name="adam")
    else:
        optimizer = SGD(rate, momentum=training.momentum, name="sgd")
    if training.precision != "float16":
        return optimizer
    scale = training.loss_scale or FIRST_LOSS_SCALE
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=scale, name="loss_scale")


def loss_scale(optimizer: keras.optimizers.Optimizer) -> Any:
    """What the loss, and so every gradient, is multiplied by for now: a scalar tensor, or 1."""
    return getattr(optimizer, "dynamic_scale", 1.0)


def learning_rate(config: Config, steps: int) -> LearningRate:
    """The configured schedule over `steps`, the epochs being as long as the steps allow."""
    training = config.training
    peak = training.learning_rate * training.batch_size / 64
    per_epoch = steps / training.epochs
    return LearningRate(
        training.schedule,
        peak=peak,
        warmup_init=peak / 10 if training.warmup_init is None else training.warmup_init,
        warmup_steps=min(round(training.warmup_epochs * per_epoch), steps - 1),
        total_steps=steps,
        drop_steps=tuple(round(epoch * per_epoch) for epoch in training.drop_epochs),
        power=training.power,
        compat=config.compat,
    )


def clipped(gradients: Sequence[tf.Tensor], norm: float) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Each gradient cut to `norm`, then all of them together, as google/automl does; and the norm between."""
    # As one vector: a sum of hundreds of scalars would be compiled into the update of every variable by XLA.
    norms = tf.stack([tf.norm(gradient) for gradient in gradients])
    if not norm:
        return list(gradients), tf.norm(norms)
    shares = norm / tf.maximum(norms, norm)
    between = tf.norm(norms * shares)
    scales = tf.unstack(shares * (norm / tf.maximum(between, norm)))
    return [gradient * scale for gradient, scale in zip(gradients, scales, strict=True)], between
