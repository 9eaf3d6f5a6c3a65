"""How much memory a training step needs, and how much there is."""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from efficientdet.config import Config
from efficientdet.free_memory import UNKNOWN, free_memory
from efficientdet.model.detector import build_detector

# Shares of what the forward pass writes that are held at the peak of a step: of d4 at 1024 pixels and batch 1,
# 9.9 and 2.8 of 16.0 GB (benchmarks/network.py memory).
HELD, HELD_RECOMPUTING = 0.62, 0.18
# Ops whose output is another tensor's memory or no tensor of the batch.
_VIEWS = {"Identity", "IdentityN", "Reshape", "Const", "ReadVariableOp", "Placeholder", "NoOp", "Shape", "StridedSlice"}
WEIGHT_COPIES = 5  # weights, gradients before and after clipping, momentum, average


class StepMemory(NamedTuple):
    """Bytes of a step: whatever the batch, and for each image that a device works on at a time."""

    fixed: int
    per_image: int


def step_memory(config: Config, num_classes: int) -> StepMemory:
    """An estimate for the config's network: what the forward pass writes down, and copies of the weights."""
    model = build_detector(config, num_classes)
    weights = sum(math.prod(v.shape) for v in model.variables) * 4
    images = tf.TensorSpec([1, *config.model.input_size, 3], tf.float32)
    forward = tf.function(lambda x: model(x, training=True), autograph=False).get_concrete_function(images)
    held = HELD_RECOMPUTING if config.training.grad_checkpoint else HELD
    sixteen_bits = 1 if config.training.precision == "float32" else 2
    return StepMemory(WEIGHT_COPIES * weights, round(held * _written(forward.graph) / sixteen_bits))


def _written(graph: tf.Graph) -> int:
    """Bytes of all outputs of a graph's ops."""
    tensors = [t for op in graph.get_operations() if op.type not in _VIEWS for t in op.outputs]
    return sum(math.prod(t.shape) * t.dtype.size for t in tensors if t.shape.is_fully_defined() and t.dtype.size)


def available_memory(strategy: str | None = None) -> int:
    """Bytes that a step may use: of the smallest GPU, or of what this machine or container has left.

    A TPU does not tell how much it has; there the answer is without bounds.
    """
    if strategy == "tpu":
        return UNKNOWN
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        from tensorflow.python.client import device_lib

        limits = {d.name.split("/")[-1]: d.memory_limit for d in device_lib.list_local_devices()}
        return min(limit for name, limit in limits.items() if "GPU" in name)
    return free_memory()
