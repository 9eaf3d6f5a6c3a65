"""The TensorRT SavedModel: the network as TensorRT's engine, everything around it as in the float SavedModel."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from tensorflow.compiler.tf2tensorrt._pywrap_py_utils import get_linked_tensorrt_version, is_tensorrt_enabled

from efficientdet.bare_network import BareNetwork, Network
from efficientdet.config import Config
from efficientdet.errors import DataError, EfficientDetError
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import RawOutputs, normalise
from efficientdet.raw_names import by_level
from efficientdet.saved_model import CHUNK, export_saved_model

Precision = Literal["FP32", "FP16", "INT8"]
SIGNATURE = "serving_default"
_REMEDY = "export the TensorRT formats where both are, as in NVIDIA's TensorFlow image, or leave them out"


def check_tensorrt() -> None:
    """Raises EfficientDetError unless TensorFlow can convert for TensorRT here: it finds the library, and a GPU."""
    if not is_tensorrt_enabled():
        wanted = ".".join(map(str, get_linked_tensorrt_version()))
        raise EfficientDetError(
            f"TensorRT: TensorFlow {tf.__version__} as installed here finds no TensorRT"
            f"{f' {wanted}' if wanted.strip('0.') else ''}, and the conversion needs it and a GPU; {_REMEDY}"
        )
    if not tf.config.list_physical_devices("GPU"):
        raise EfficientDetError(f"TensorRT: TensorFlow sees no GPU here, and the conversion needs one; {_REMEDY}")


def export_tensorrt(
    model: Network,
    config: Config,
    label_map: LabelMap,
    calibration: Iterable[ArrayLike],
    folder: str | Path,
    precision: Precision,
) -> None:
    """Writes the detector as `export_saved_model` does, its network converted for TensorRT.

    Engines are built for the GPU that runs them, when it first sees a batch.

    Args:
      model: the network of `build_detector`.
      config: its config.
      label_map: its classes.
      calibration: letterboxed images `[H, W, 3]` uint8 from the training set; only INT8 reads them.
      folder: the folder to write.
      precision: what the network computes in.

    Raises:
      EfficientDetError: see `check_tensorrt`.
      DataError: INT8 has no image to calibrate with.
    """
    check_tensorrt()
    with tempfile.TemporaryDirectory() as work:
        plain, converted = Path(work) / "plain", Path(work) / "converted"
        bare = config.override({"export": {"pre_mode": None, "post_mode": None}})
        network = BareNetwork(model, bare, len(label_map))
        tf.saved_model.save(network, str(plain), signatures=network.run)
        converter = tf.experimental.tensorrt.Converter(
            input_saved_model_dir=str(plain),
            input_saved_model_signature_key=SIGNATURE,
            precision_mode=precision,
            maximum_cached_engines=CHUNK,  # one for each batch size that a SavedModel of ours passes on
        )
        converter.convert(
            calibration_input_fn=calibration_batches(calibration, config) if precision == "INT8" else None
        )
        converter.save(str(converted))
        export_saved_model(_Engine(converted), config, label_map, folder)


class _Engine(tf.Module):
    """A converted network in place of the Keras network."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.held = tf.saved_model.load(str(folder))
        self._run = self.held.signatures[SIGNATURE]

    def __call__(self, images: tf.Tensor, training: bool = False) -> RawOutputs:
        return RawOutputs(*by_level(self._run(images=images)))


def calibration_batches(calibration: Iterable[ArrayLike], config: Config) -> Callable[[], Iterator[tuple[Any]]]:
    """What TensorRT is calibrated with: normalised batches, all of `CHUNK` images unless there are fewer.

    Raises DataError when there is no image.
    """

    def batches() -> Iterator[tuple[Any]]:
        images = [np.asarray(image) for image in calibration]
        if not images:
            raise DataError("TensorRT INT8: there is no image to calibrate with; give examples with at least one")
        size = min(CHUNK, len(images))
        for first in range(0, len(images) - size + 1, size):
            yield (tf.convert_to_tensor(normalise(np.stack(images[first : first + size]), config)),)

    return batches
