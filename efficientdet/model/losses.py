"""The training losses: focal loss on classes, Huber loss on box deltas, L2 on kernels."""

from __future__ import annotations

from collections.abc import Iterable

import keras
from keras import ops

from efficientdet.anchors import Targets
from efficientdet.model.detector import RawOutputs


def detection_loss(
    raw: RawOutputs,
    targets: Targets,
    num_classes: int,
    *,
    alpha: float,
    gamma: float,
    label_smoothing: float,
    delta: float,
    box_loss_weight: float,
    normaliser: keras.KerasTensor | None = None,
) -> dict[str, keras.KerasTensor]:
    """The loss of a batch, computed in float32 whatever the network's precision.

    Args:
      raw: the network's outputs.
      targets: of the same batch: a leading batch axis on every tensor.
      num_classes: k, without background.
      alpha, gamma, label_smoothing: see `focal_loss`.
      delta: see `huber_loss`.
      box_loss_weight: what a unit of box loss weighs against a unit of class loss.
      normaliser: what the sums are divided by; by default the batch's positive anchors plus one. Replicas
        that share a batch pass the number over all of them.

    Returns:
      Scalars `class_loss`, `box_loss` (unweighted) and their weighted sum `loss`, without L2.
    """
    if normaliser is None:
        normaliser = ops.sum(targets.num_positives) + 1.0
    class_sum, box_sum = 0.0, 0.0
    for logits, classes in zip(raw.class_logits, targets.classes, strict=True):
        logits = ops.reshape(ops.cast(logits, "float32"), (*ops.shape(classes), num_classes))
        one_hot = ops.one_hot(classes, num_classes, dtype="float32")  # background, -1, becomes zeros
        class_sum += ops.sum(focal_loss(one_hot, logits, alpha, gamma, label_smoothing))
    for deltas, boxes in zip(raw.box_deltas, targets.boxes, strict=True):
        box_sum += ops.sum(huber_loss(boxes, ops.cast(deltas, "float32"), delta))
    class_loss, box_loss = class_sum / normaliser, box_sum / (4.0 * normaliser)
    return {"loss": class_loss + box_loss_weight * box_loss, "class_loss": class_loss, "box_loss": box_loss}


def focal_loss(
    one_hot: keras.KerasTensor, logits: keras.KerasTensor, alpha: float, gamma: float, label_smoothing: float
) -> keras.KerasTensor:
    """Elementwise focal loss (arXiv 1708.02002, eq. 5) of logits `[..., k]` against 0/1 targets `[..., k]`.

    `alpha` weighs ones against zeros, `gamma` lowers what is already right; both see the plain targets, and
    only the cross entropy sees them drawn towards 1/2 by `label_smoothing`.
    """
    balance = one_hot * alpha + (1.0 - one_hot) * (1.0 - alpha)
    # (1 - p_t) ** gamma by its logarithm: finite gradients for any gamma and logit.
    focus = ops.exp(gamma * ops.log_sigmoid((1.0 - 2.0 * one_hot) * logits))
    smoothed = one_hot * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return balance * focus * ops.binary_crossentropy(smoothed, logits, from_logits=True)


def huber_loss(targets: keras.KerasTensor, predictions: keras.KerasTensor, delta: float) -> keras.KerasTensor:
    """Elementwise Huber loss of box deltas `[...]`; 0 where the target is exactly 0.

    Zero marks background. A positive anchor's coordinate that is exactly 0 is dropped with it, as in google/automl.
    """
    error = ops.abs(targets - predictions)
    linear = ops.maximum(error - delta, 0.0)
    quadratic = error - linear
    return ops.where(targets != 0.0, 0.5 * quadratic**2 + delta * linear, 0.0)


def l2(variables: Iterable[keras.Variable], weight_decay: float) -> keras.KerasTensor:
    """`weight_decay` times half the squared sum of every convolution kernel among `variables`, a float32 scalar.

    Biases, batch normalisation and fusion weights are not decayed.
    """
    kernels = [v for v in variables if v.path.endswith("kernel")]
    return weight_decay * 0.5 * sum(ops.sum(ops.square(ops.cast(v, "float32"))) for v in kernels)
