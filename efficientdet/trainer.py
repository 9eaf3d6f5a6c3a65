"""Network, optimizer and weight average of one training run, and the step that moves them on all its devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from efficientdet.anchors import Targets, anchors_for
from efficientdet.config import Config
from efficientdet.freeze import unfrozen
from efficientdet.model.detector import RawOutputs, build_detector, normalise, reference_name
from efficientdet.model.losses import detection_loss, l2
from efficientdet.model.variable_names import AVERAGE
from efficientdet.norms import freeze_norms, set_up_norms
from efficientdet.optimizer import build_optimizer, clipped, learning_rate, loss_scale
from efficientdet.precision import layers_in
from efficientdet.weight_average import WeightAverage

Losses = dict[str, tf.Tensor]


class Trainer:
    """What a step reads and writes; `state` is all of it.

    Args:
      config: the detector and how to train it.
      num_classes: k, without background.
      steps: length of the run, which the learning rate is planned for.
      strategy: the devices; by default the one of TensorFlow's current scope.

    Attributes:
      step: one update from images `[b, H, W, 3]` 0..255 and their targets; under a strategy, of each device.
        Gives scalars over all devices: the losses of `detection_loss`, `l2`, their sum `total`; `positives_p3` ...,
        the anchors of a level that answer for a box; and `gradient_norm`, the global norm after each gradient was
        clipped and before all were.
      run: as many updates as its second argument says, from an iterator of global batches: every scalar as `[n]`.
      average: of the weights.
      parts: how many equal parts the images of a device are worked on in, one after another; set by `use_parts`.

    Raises:
      ConfigError: `training.freeze` matches no variable, or all.
    """

    def __init__(
        self, config: Config, num_classes: int, steps: int, strategy: tf.distribute.Strategy | None = None
    ) -> None:
        keras.utils.set_random_seed(config.training.seed)
        self.config, self.num_classes, self.steps = config, num_classes, steps
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        self.share = config.training.batch_size // self.replicas
        with self.strategy.scope():
            with layers_in(config.training.precision):
                self.model = build_detector(config, num_classes)
            self.variables = unfrozen(self.model, config.training.freeze)
            rate = learning_rate(config, steps)
            self.optimizer = build_optimizer(config.training, rate)
            self.optimizer.build(self.variables)
            self.average = WeightAverage(self.variables, config.training.moving_average)
            self.positives = tf.Variable(0.0, trainable=False)
            self._steps_done = tf.Variable(0, trainable=False, dtype=tf.int64)
            self._parts = tf.Variable(1, trainable=False, dtype=tf.int64)
        if not config.compat:
            freeze_norms(self.model, self.variables)
        set_up_norms(self.model, self.replicas)
        self.peak_step = rate.warmup_steps
        self._anchor_boxes = anchors_for(config).boxes
        # `preflight.check_memory` replaces `auto` by a number.
        self.use_parts(1 if config.training.accumulate == "auto" else config.training.accumulate)
        self.part_ways()

    def use_parts(self, parts: int) -> None:
        """Divides the images of a device into so many equal parts from now on."""
        self.parts = parts
        self._parts.assign(parts)
        # The compiled functions have the number of parts built in.
        xla = self.config.training.xla
        self._compiled = tf.function(self.replica_step, jit_compile=True) if xla else self.replica_step
        self.run = tf.function(self._run, reduce_retracing=True)
        self.step = tf.function(self._step, reduce_retracing=True)

    @property
    def restored_parts(self) -> int:
        """The parts that the checkpoint was made with, whose batch statistics are those of a part."""
        return int(self._parts.numpy())

    @property
    def steps_done(self) -> int:
        """Steps behind us, those before a restart included."""
        return int(self._steps_done.numpy())

    @property
    def state(self) -> dict[str, tf.Variable]:
        """Every variable by name: google/automl's for the network and its average."""
        network = {reference_name(v): v.value for v in self.model.variables}
        names = [reference_name(v) for v in self.variables]
        averages = {f"{name}{AVERAGE}": average for name, average in zip(names, self.average.values, strict=True)}
        optimizer = {f"optimizer/{v.path}": v.value for v in self.optimizer.variables}
        run = {"positives": self.positives, "global_step": self._steps_done, "parts": self._parts}
        return {**network, **averages, **optimizer, **run}

    def part_ways(self) -> None:
        """Gives each replica draws of its own; to be called after every restoring of the state.

        A checkpoint holds the first replica's seeds, and the others' lie a fixed way apart from them.
        """
        seeds = [v.value for v in self.model.variables if "seed_generator" in v.path]

        def part() -> None:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in seeds:
                state.assign(tf.stack([self.config.training.seed + tf.cast(replica, state.dtype), state[1]]))

        if self.replicas > 1:
            self.strategy.run(tf.function(part))

    def _run(self, batches: Iterator, count: tf.Tensor) -> Losses:
        history = {name: tf.TensorArray(tf.float32, count) for name in self.scalars}
        for i in tf.range(count):
            scalars = self._everywhere(self._compiled, *next(batches))
            history = {name: history[name].write(i, scalars[name]) for name in self.scalars}
        return {name: values.stack() for name, values in history.items()}

    def _step(self, images: tf.Tensor, targets: Targets) -> Losses:
        return self._everywhere(self._compiled, images, targets)

    @tf.function(reduce_retracing=True)
    def evaluate(self, images: tf.Tensor, targets: Targets) -> Losses:
        """The scalar losses of a batch in inference mode; nothing moves."""
        raw = self.model(normalise(images, self.config), training=False)
        return self._losses(raw, targets, tf.reduce_sum(targets.num_positives) + 1.0, share=1.0)

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that `step` returns."""
        overlap = ("box_iou_loss",) if self.config.training.iou_loss else ()
        return ("loss", "class_loss", "box_loss", *overlap, "l2", "total")

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of all that `step` returns."""
        positives = (f"positives_p{level}" for level in self.config.model.architecture.levels)
        return (*self.losses, *positives, "gradient_norm")

    def _everywhere(self, function: Any, images: Any, targets: Any) -> Losses:
        """Scalars that are the same on every replica, from the first."""
        scalars = self.strategy.run(function, args=(images, Targets(*targets)))
        return {name: self.strategy.experimental_local_results(value)[0] for name, value in scalars.items()}

    @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and to look for it takes seconds
    def replica_step(self, images: tf.Tensor, targets: Targets) -> Losses:
        """The part of one replica."""
        normaliser = self._normaliser(targets)
        gradients, losses = self._gradients(images, targets, normaliser)
        gradients, scalars = _summed(gradients), _summed({**losses, **self._positives(targets)})
        scale = loss_scale(self.optimizer)
        gradients, norm = clipped([gradient / scale for gradient in gradients], self.config.training.clip_norm)
        self.optimizer.apply([gradient * scale for gradient in gradients], self.variables)
        self.average.move(self._steps_done)
        self._steps_done.assign_add(1)
        return {**scalars, "gradient_norm": norm}

    def _positives(self, targets: Targets) -> Losses:
        """Anchors that answer for a box, by level."""
        levels = zip(self.config.model.architecture.levels, targets.classes, strict=True)
        return {f"positives_p{level}": tf.reduce_sum(tf.cast(classes >= 0, tf.float32)) for level, classes in levels}

    def _gradients(self, images: tf.Tensor, targets: Targets, normaliser: tf.Tensor) -> tuple[list[tf.Tensor], Losses]:
        """This replica's share of gradients and losses, part by part."""
        parts, share = self.parts, 1.0 / (self.replicas * self.parts)
        if parts == 1:
            return self._part(images, targets, normaliser, share)
        images, targets = (_in_parts(tensors, parts, self.share // parts) for tensors in (images, targets))

        def add(i: Any, gradients: list[tf.Tensor], losses: Losses) -> tuple[Any, list[tf.Tensor], Losses]:
            # Not before the one ahead is done, or their memory would add up.
            with tf.control_dependencies(gradients):
                part = tf.nest.map_structure(lambda tensor: tf.identity(tensor[:, i]), (images, targets))
            more, more_losses = self._part(part[0], part[1], normaliser, share)
            gradients = [old + new for old, new in zip(gradients, more, strict=True)]
            return i + 1, gradients, {name: losses[name] + more_losses[name] for name in losses}

        gradients = [tf.zeros_like(v.value) for v in self.variables]
        losses = {name: tf.constant(0.0) for name in self.losses}
        if self.replicas == 1:
            _, *sums = tf.while_loop(lambda i, *_: i < parts, add, (0, gradients, losses), maximum_iterations=parts)
            return sums[0], sums[1]
        # Replicas cannot meet inside a loop of TensorFlow's, which their normalisations have to.
        for i in range(parts):
            _, gradients, losses = add(i, gradients, losses)
        return gradients, losses

    def _part(
        self, images: tf.Tensor, targets: Targets, normaliser: tf.Tensor, share: float
    ) -> tuple[list[tf.Tensor], Losses]:
        with tf.GradientTape() as tape:
            raw = self.model(normalise(images, self.config), training=True)
            losses = self._losses(raw, targets, normaliser, share)
            scaled = self.optimizer.scale_loss(losses["total"])
        # Zero where a variable takes no part: blocks of a backbone above the pyramid's last level.
        unused = tf.UnconnectedGradients.ZERO
        return tape.gradient(scaled, [v.value for v in self.variables], unconnected_gradients=unused), losses

    def _losses(self, raw: RawOutputs, targets: Targets, normaliser: tf.Tensor, share: float) -> Losses:
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
            normaliser=normaliser,
        )
        decay = l2(self.variables, settings.weight_decay) * share
        return {**losses, "l2": decay, "total": losses["loss"] + decay}

    def _normaliser(self, targets: Targets) -> tf.Tensor:
        """The positive anchors of the global batch plus one, or their running mean, which starts at the first's."""
        count = _summed(tf.reduce_sum(targets.num_positives)) + 1.0
        momentum = self.config.training.positives_momentum
        if not momentum:
            return count
        running = momentum * self.positives + (1 - momentum) * count
        self.positives.assign(tf.where(self.positives > 0, running, count))
        return tf.identity(self.positives)


def _summed(values: Any) -> Any:
    """Tensors added up over the replicas."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _in_parts(tensors: Any, parts: int, size: int) -> Any:
    """`[size * parts, ...]` as `[size, parts, ...]`, in a nest of tensors.

    The parts are interleaved, so that those of all replicas together are the same however many replicas there are.
    """
    return tf.nest.map_structure(lambda t: tf.reshape(t, [size, parts, *t.shape[1:]]), tensors)
