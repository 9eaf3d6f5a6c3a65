"""The training losses: focal loss on classes, Huber loss on box deltas, overlap of boxes, L2 on kernels."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from efficientdet.anchors import IGNORED, Targets, join_levels
from efficientdet.model.detector import RawOutputs
from efficientdet.model.iou_loss import decoded_iou_loss


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
    iou_loss: str | None = None,
    iou_loss_weight: float = 1.0,
    anchor_boxes: NDArray[np.float32] | None = None,
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
      iou_loss: besides, a loss on the overlap of the boxes themselves; its kinds are those of `iou_loss.iou_loss`.
      iou_loss_weight: what a unit of it weighs.
      anchor_boxes: `[A, 4]` `Anchors.boxes` of the network, needed for `iou_loss`.
      normaliser: what the sums are divided by; by default the batch's positive anchors plus one. Replicas
        that share a batch pass the number over all of them.

    Returns:
      Scalars `class_loss`, `box_loss`, with `iou_loss` also `box_iou_loss` (unweighted), and their weighted sum
      `loss`, without L2.
    """
    if normaliser is None:
        normaliser = ops.sum(targets.num_positives) + 1.0
    class_loss = _class_sum(raw, targets, num_classes, alpha, gamma, label_smoothing) / normaliser
    deltas, target_deltas = join_levels(raw.box_deltas, 4), join_levels(targets.boxes, 4)
    box_loss = ops.sum(huber_loss(target_deltas, deltas, delta)) / (4.0 * normaliser)
    losses = {"class_loss": class_loss, "box_loss": box_loss}
    total = class_loss + box_loss_weight * box_loss
    if iou_loss:
        overlap = decoded_iou_loss(iou_loss, deltas, target_deltas, ops.convert_to_tensor(anchor_boxes))
        # A quarter, as if each box counted by coordinate like the Huber loss: google/automl's scale.
        losses["box_iou_loss"] = ops.sum(overlap) / (4.0 * normaliser)
        total += iou_loss_weight * losses["box_iou_loss"]
    return {"loss": total, **losses}


def _class_sum(
    raw: RawOutputs, targets: Targets, num_classes: int, alpha: float, gamma: float, label_smoothing: float
) -> keras.KerasTensor:
    """The focal loss of all anchors but ignored ones, a scalar."""
    total = 0.0
    for logits, classes in zip(raw.class_logits, targets.classes, strict=True):
        logits = ops.reshape(ops.cast(logits, "float32"), (*ops.shape(classes), num_classes))
        one_hot = ops.one_hot(classes, num_classes, dtype="float32")  # background, -1, becomes zeros
        loss = focal_loss(one_hot, logits, alpha, gamma, label_smoothing)
        total += ops.sum(ops.where(classes[..., None] == IGNORED, 0.0, loss))
    return total


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
