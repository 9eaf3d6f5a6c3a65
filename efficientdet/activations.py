"""What flows through a TFLite network: ranges, histograms and mean maps of its activations over many images."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import ArrayLike, NDArray

from efficientdet.tflite_flatbuffer import pack_model
from efficientdet.tflite_operators import is_convolution

BINS = 1024  # on each side of zero
SAMPLES = 1 << 16  # values of a tensor that one image adds to its histogram
CORES = os.cpu_count() or 1


@dataclass
class Activation:
    """One tensor over all images.

    low, high: its least and its greatest value. bound: the histogram reaches from -bound to bound.
    counts `[2 * BINS]`: how many of the sampled values lie in each bin. mean: of every element over the images, in
    the tensor's shape; None unless it was asked for. images: how many were seen.
    """

    low: float = math.inf
    high: float = -math.inf
    bound: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2 * BINS, np.int64))
    mean: NDArray[np.float32] | None = None
    images: int = 0

    @property
    def centres(self) -> NDArray[np.float64]:
        """`[2 * BINS]` the values that stand in the middle of the bins."""
        return (np.arange(2 * BINS) - BINS + 0.5) * (self.bound / BINS)

    def add(self, values: NDArray[np.float32], with_mean: bool) -> None:
        """Sees the tensor of one more image."""
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self._reach(max(abs(self.low), abs(self.high)))
        if self.bound:
            sample = values.reshape(-1)[:: _stride(values.size, values.shape[-1])]
            # Times a power of two, which rounds nothing: a value just below an edge stays below it.
            places = np.floor(sample.astype(np.float64) * (BINS / self.bound)).astype(np.int64)
            bins = (places + BINS).clip(0, 2 * BINS - 1)
            self.counts += np.bincount(bins, minlength=2 * BINS)
        self.images += 1
        if with_mean:
            self.mean = values.copy() if self.mean is None else self.mean + (values - self.mean) / self.images

    def _reach(self, top: float) -> None:
        """Widens the histogram to `top`, by doubling it, so that two old bins are one new."""
        if top and not self.bound:
            self.bound = 2.0 ** math.ceil(math.log2(top))
        while self.bound < top:
            inner = self.counts.reshape(BINS, 2).sum(axis=1)
            self.counts = np.pad(inner, BINS // 2)
            self.bound *= 2


def observe(model: schema.ModelT, images: Iterable[ArrayLike]) -> dict[int, Activation]:
    """What every operator of a float network answers, by the index of its first output.

    Also the network's input, and mean maps of what convolutions read.

    Args:
      model: with one graph, and one input `[1, h, w, 3]` float32.
      images: `[h, w, 3]` each; nothing is kept of them, and each is run once.
    """
    interpreter = Interpreter(
        model_content=pack_model(model), num_threads=CORES, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    [graph] = model.subgraphs
    [pixels] = (int(index) for index in graph.inputs)
    read = {int(op.inputs[0]) for op in graph.operators if is_convolution(model, op)}
    floats = {pixels} | {int(op.outputs[0]) for op in graph.operators}
    floats = {i for i in floats if graph.tensors[i].type == schema.TensorType.FLOAT32}
    seen = {index: Activation() for index in sorted(floats)}
    for image in images:
        interpreter.set_tensor(pixels, np.asarray(image, np.float32)[None])
        interpreter.invoke()
        for index, activation in seen.items():
            activation.add(interpreter.get_tensor(index), with_mean=index in read)
    return seen


def _stride(size: int, channels: int) -> int:
    """Takes about `SAMPLES` of so many values, and all channels alike."""
    stride = max(1, size // SAMPLES)
    while math.gcd(stride, channels) > 1:
        stride += 1
    return stride
