"""Kernels that give the same bits whenever a run is repeated, for as long as a run lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.framework import config as framework

from efficientdet.config import TrainingConfig


def wants_determinism(training: TrainingConfig) -> bool:
    """What `training.deterministic` says, or where it is silent, whether every kernel of the run has such a form.

    Not on GPUs, where the gradient of depthwise convolutions may lack one, nor in programs of XLA, which a TPU always
    runs: their gradient of a max pool has none (TensorFlow 2.16, `tf2xla/kernels/pooling_ops.cc`).
    """
    if training.deterministic is not None:
        return training.deterministic
    compiled = training.xla or training.strategy == "tpu"
    return not compiled and not tf.config.list_physical_devices("GPU")


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Runs its body with TensorFlow's deterministic kernels, or without them; then as it was before.

    The switch is one of the whole process, and its public half can only be turned on: without the other half a
    notebook's second run would inherit the first's.
    """
    before = framework.is_op_determinism_enabled()
    _switch(wanted)
    try:
        yield
    finally:
        _switch(before)


def _switch(on: bool) -> None:
    if on:
        tf.config.experimental.enable_op_determinism()
    else:
        framework.disable_op_determinism()
