"""One training step on Keras' JAX backend: `KERAS_BACKEND=jax python jax_step.py INPUT.npz OUTPUT.npz`.

Run by test_backends.py, because a process has one backend.
"""

from __future__ import annotations

import sys

import jax
import keras
import numpy as np

from efficientdet.anchors import Targets
from efficientdet.config import Config
from efficientdet.model.detector import build_detector, reference_name
from efficientdet.model.losses import detection_loss, l2

CONFIG = Config().override(
    "model.name=efficientdet-d0,model.image_size=64,model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1"
)
CLASSES = 3
LOSS = {"alpha": 0.25, "gamma": 1.5, "label_smoothing": 0.1, "delta": 0.1, "box_loss_weight": 50.0}


def main(source: str, target: str) -> None:
    """Reads weights by name, images and targets; writes outputs, losses, gradients and weights after the step."""
    given = np.load(source)
    model = build_detector(CONFIG, CLASSES)
    for variable in model.weights:
        variable.assign(given[reference_name(variable)])
    levels = range(len(given["num_levels"]))
    targets = Targets(
        tuple(given[f"classes_{i}"] for i in levels), tuple(given[f"boxes_{i}"] for i in levels), given["num_positives"]
    )
    raw = model(given["images"], training=False)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)

    def loss(trainable, others, images):
        raw, others = model.stateless_call(trainable, others, images, training=True)
        losses = detection_loss(raw, targets, CLASSES, **LOSS)
        with keras.StatelessScope(list(zip(model.trainable_variables, trainable, strict=True))):
            decay = l2(model.trainable_variables, 4e-5)
        return losses["loss"] + decay, (losses, others)

    @jax.jit
    def step(trainable, others, state, images):
        (total, (losses, others)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, others, images)
        trainable, state = optimizer.stateless_apply(state, gradients, trainable)
        return total, losses, gradients, trainable, others

    values = [[v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables)]
    total, losses, gradients, trainable, others = step(*values, optimizer.variables, given["images"])
    after = zip((*model.trainable_variables, *model.non_trainable_variables), (*trainable, *others), strict=True)
    written = {f"after/{reference_name(v)}": value for v, value in after}
    written |= {f"loss/{name}": value for name, value in losses.items()} | {"loss/total": total}
    written |= {f"logits_{i}": value for i, value in enumerate(raw.class_logits)}
    written |= {f"deltas_{i}": value for i, value in enumerate(raw.box_deltas)}
    norm = np.sqrt(sum(float(np.square(np.asarray(g, np.float64)).sum()) for g in gradients))
    np.savez(target, backend=keras.backend.backend(), gradient_norm=norm, **written)


if __name__ == "__main__":
    main(*sys.argv[1:])
