"""Where int8 loses: the error that each layer adds by itself, and what arrives at the network's answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import ArrayLike, NDArray

from efficientdet.calibrated_network import CalibratedNetwork

SUSPICIOUS = 0.001
"""Noise over signal from which a layer is worth a try in float; most lose a fifth of that."""
SUSPECTS = 5
"""That are tried at once: each costs size and speed, and the first may mend what the others show."""


@dataclass(frozen=True)
class LayerError:
    """What a layer in int8 answers, against the same layer in float on the same int8 input; means over images.

    Here the biases are as trained: what their correction makes up for still counts.

    layer: its name. noise: mean square of the error over the variance of the answer. steps: root mean square of the
    error over the step of 8 bits; rounding alone makes 0.29. scale: that step.
    """

    layer: str
    noise: float
    steps: float
    scale: float


@dataclass(frozen=True)
class OutputError:
    """What arrives at an answer of the whole network in int8, against the network in float.

    output: its name. noise: as a layer's. rmse: root mean square of the error, in logits or box deltas.
    """

    output: str
    noise: float
    rmse: float


@dataclass(frozen=True)
class QuantizeReport:
    """layers: the worst first. outputs: by name. images: how many were run. float_layers: what stayed float."""

    layers: list[LayerError]
    outputs: list[OutputError]
    images: int
    float_layers: tuple[str, ...]

    @property
    def suspects(self) -> list[str]:
        """Layers that are worth a try in float, the worst first."""
        return [error.layer for error in self.layers if error.noise >= SUSPICIOUS]

    @property
    def patterns_to_try(self) -> tuple[str, ...]:
        """`float_layers` of the next try: those of this one, and the worst SUSPECTS of what is left."""
        return (*self.float_layers, *self.suspects[:SUSPECTS])

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self) | {"suspects": self.suspects}


def quantize_report(
    network: CalibratedNetwork, images: Iterable[ArrayLike], float_layers: Sequence[str] = ()
) -> QuantizeReport:
    """Runs images `[h, w, 3]` through TensorFlow's QuantizationDebugger, and through int8 and float side by side.

    `float_layers` are kept in float, as in `CalibratedNetwork.quantized`, whose errors it raises.
    """
    batches = [np.asarray(image, np.float32)[None] for image in images]
    outputs = _output_errors(network, batches, float_layers)
    layers = _layer_errors(network, batches, float_layers)
    return QuantizeReport(sorted(layers, key=lambda error: -error.noise), outputs, len(batches), tuple(float_layers))


def _layer_errors(
    network: CalibratedNetwork, batches: list[NDArray[np.float32]], float_layers: Sequence[str]
) -> list[LayerError]:
    debugger = tf.lite.experimental.QuantizationDebugger(
        quant_debug_model_content=network.verifying(float_layers),
        debug_dataset=lambda: ([batch] for batch in batches),
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            layer_direct_compare_metrics={
                "signal": lambda exact, *_: float(np.var(exact)),
                "noise": lambda exact, stored, scale, zero: float(np.mean((exact - _floats(stored, scale, zero)) ** 2)),
                "scale": lambda exact, stored, scale, zero: float(scale),
            }
        ),
    )
    debugger.run()
    errors = []
    for tensor, found in debugger.layer_statistics.items():
        layer = _layer(network, tensor)
        if layer is not None:
            steps = found["noise"] ** 0.5 / found["scale"]
            errors.append(LayerError(layer, _share(found["noise"], found["signal"]), float(steps), found["scale"]))
    return errors


def _layer(network: CalibratedNetwork, tensor: str) -> str | None:
    """The layer behind `NumericVerify/TENSOR1:7`, as the debugger calls what it compares."""
    name = re.sub(r":\d+$", "", tensor.removeprefix("NumericVerify/"))
    return network.layer_of(name) or network.layer_of(name[:-1])


def _output_errors(
    network: CalibratedNetwork, batches: list[NDArray[np.float32]], float_layers: Sequence[str]
) -> list[OutputError]:
    exact, rounded = (
        Interpreter(model_content=content).get_signature_runner()
        for content in (network.flatbuffer, network.quantized("float32", "float32", float_layers))
    )
    [pixels] = exact.get_input_details()
    sums: dict[str, NDArray[np.float64]] = {}
    for batch in batches:
        wanted, found = exact(**{pixels: batch}), rounded(**{pixels: batch})
        for name in sorted(wanted):
            parts = np.array([np.mean((found[name] - wanted[name]) ** 2), np.var(wanted[name])], np.float64)
            sums[name] = sums.get(name, np.zeros(2)) + parts / len(batches)
    return [OutputError(name, _share(noise, signal), float(noise**0.5)) for name, (noise, signal) in sums.items()]


def _floats(stored: NDArray[np.int8], scale: float, zero: int) -> NDArray[np.float32]:
    return (stored.astype(np.float32) - zero) * np.float32(scale)


def _share(noise: float, signal: float) -> float:
    return float(noise / signal) if signal else 0.0
