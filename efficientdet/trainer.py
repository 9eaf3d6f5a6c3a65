"""Network, optimizer and weight average of one training run, and the step that moves them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import keras
import tensorflow as tf

from efficientdet.anchors import Targets, anchors_for
from efficientdet.config import Config, TrainingConfig
from efficientdet.errors import ConfigError
from efficientdet.model.detector import RawOutputs, build_detector, normalise, reference_name
from efficientdet.model.losses import detection_loss, l2
from efficientdet.schedule import LearningRate, moving_average_rate


class Trainer:
    """What a step reads and writes; `checkpoint` holds all of it.

    Args:
      config: the detector and how to train it.
      num_classes: k, without background.
      steps: length of the run, which the learning rate is planned for.

    Raises:
      ConfigError: `training.freeze` matches no variable, or all.
    """

    def __init__(self, config: Config, num_classes: int, steps: int) -> None:
        keras.utils.set_random_seed(config.training.seed)
        self.config, self.num_classes = config, num_classes
        self.model = build_detector(config, num_classes)
        self.variables = _unfrozen(self.model, config.training.freeze)
        if not config.compat:
            _freeze_norms(self.model, self.variables)
        self.optimizer = optimizer(config.training, learning_rate(config, steps))
        self.optimizer.build(self.variables)
        self.average = [tf.Variable(v.value, trainable=False) for v in self.variables]
        self.positives = tf.Variable(0.0, trainable=False)
        self._anchor_boxes = anchors_for(config).boxes
        # A flat list: object-based saving loses the state of Keras' seed generators.
        state = [v.value for v in (*self.model.variables, *self.optimizer.variables)]
        self.checkpoint = tf.train.Checkpoint(state=state, average=self.average, positives=self.positives)

    @property
    def steps_done(self) -> int:
        """Steps behind us, those before a restart included."""
        return int(self.optimizer.iterations.numpy())

    def reset_average(self) -> None:
        """Starts the average anew from the current weights."""
        for average, variable in zip(self.average, self.variables, strict=True):
            average.assign(variable.value)

    def use_average(self) -> None:
        """Replaces the weights by their average; the last thing a run does."""
        if self.config.training.moving_average:
            for average, variable in zip(self.average, self.variables, strict=True):
                variable.assign(average)

    @tf.function(reduce_retracing=True)
    def step(self, images: tf.Tensor, targets: Targets) -> dict[str, tf.Tensor]:
        """One update from images `[b, H, W, 3]` 0..255 and their targets.

        Returns:
          Scalars: the losses of `detection_loss`, `l2`, their sum `total`, and `gradient_norm`, the global norm
          after each gradient was clipped and before all were.
        """
        with tf.GradientTape() as tape:
            raw = self.model(normalise(images, self.config), training=True)
            losses = self._losses(raw, targets, training=True)
        gradients = tape.gradient(losses["total"], [v.value for v in self.variables])
        gradients, norm = _clipped(gradients, self.config.training.clip_norm)
        self.optimizer.apply(gradients, self.variables)
        self._move_average(self.config.training.moving_average)
        return {**losses, "gradient_norm": norm}

    @tf.function(reduce_retracing=True)
    def evaluate(self, images: tf.Tensor, targets: Targets) -> dict[str, tf.Tensor]:
        """The scalar losses of a batch in inference mode; nothing moves."""
        return self._losses(self.model(normalise(images, self.config), training=False), targets, training=False)

    def _losses(self, raw: RawOutputs, targets: Targets, training: bool) -> dict[str, tf.Tensor]:
        settings = self.config.training
        losses = detection_loss(
            raw,
            targets,
            self.num_classes,
            alpha=settings.focal_alpha,
            gamma=settings.focal_gamma,
            label_smoothing=settings.label_smoothing,
            delta=settings.huber_delta,
            box_loss_weight=settings.box_loss_weight,
            iou_loss=settings.iou_loss,
            iou_loss_weight=settings.iou_loss_weight,
            anchor_boxes=self._anchor_boxes,
            normaliser=self._normaliser(targets, training),
        )
        decay = l2(self.variables, settings.weight_decay)
        return {**losses, "l2": decay, "total": losses["loss"] + decay}

    def _normaliser(self, targets: Targets, training: bool) -> tf.Tensor:
        """The positive anchors of the batch plus one, or their running mean, which starts at the first batch's."""
        count = tf.reduce_sum(targets.num_positives) + 1.0
        momentum = self.config.training.positives_momentum
        if not momentum or not training:
            return count
        return self.positives.assign(
            tf.where(self.positives > 0, momentum * self.positives + (1 - momentum) * count, count)
        )

    def _move_average(self, decay: float) -> None:
        rate = moving_average_rate(decay, tf.cast(self.optimizer.iterations.value, tf.float32) - 1)
        for average, variable in zip(self.average, self.variables, strict=True):
            average.assign_sub((average - variable.value) * rate)


def optimizer(training: TrainingConfig, rate: LearningRate) -> keras.optimizers.Optimizer:
    """SGD with momentum, or Adam whose first decay rate is the momentum."""
    if training.optimizer == "adam":
        return keras.optimizers.Adam(rate, beta_1=training.momentum)
    return keras.optimizers.SGD(rate, momentum=training.momentum)


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


def _unfrozen(model: keras.Model, expression: str | None) -> list[keras.Variable]:
    """Trainable variables whose google/automl name the expression does not match from its start."""
    if not expression:
        return list(model.trainable_variables)
    kept = [v for v in model.trainable_variables if not re.match(expression, reference_name(v))]
    if not kept or len(kept) == len(model.trainable_variables):
        what = "everything" if not kept else "nothing"
        example = reference_name(model.variables[0])
        raise ConfigError(f"training.freeze={expression!r}: matches {what}; names look like {example}")
    return kept


def _freeze_norms(model: keras.Model, unfrozen: list[keras.Variable]) -> None:
    """Stops the moving statistics of every normalisation whose scale is frozen."""
    moving = {id(v) for v in unfrozen}
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and id(layer.gamma) not in moving:
            layer.trainable = False


def _clipped(gradients: Sequence[tf.Tensor], norm: float) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Each gradient cut to `norm`, then all of them together, as google/automl does; and the norm between."""
    # As one vector: a sum of hundreds of scalars would be compiled into the update of every variable by XLA.
    norms = tf.stack([tf.norm(gradient) for gradient in gradients])
    if not norm:
        return list(gradients), tf.norm(norms)
    shares = norm / tf.maximum(norms, norm)
    between = tf.norm(norms * shares)
    scales = tf.unstack(shares * (norm / tf.maximum(between, norm)))
    return [gradient * scale for gradient, scale in zip(gradients, scales, strict=True)], between
