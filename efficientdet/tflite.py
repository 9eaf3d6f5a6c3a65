"""The TFLite file: the network in integers or floats, the standard detection post-processing, metadata and labels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from numpy.typing import ArrayLike

from efficientdet.anchors import anchors_for
from efficientdet.atomic_file import write_file
from efficientdet.calibrated_network import CalibratedNetwork
from efficientdet.config import Config
from efficientdet.data.representative_dataset import RepresentativeDataset
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import RawOutputs, normalise
from efficientdet.quantize import convert_float
from efficientdet.raw_names import by_name
from efficientdet.tflite_flatbuffer import join_models, unpack_model
from efficientdet.tflite_metadata import pack_raw_with_metadata, pack_with_metadata
from efficientdet.tflite_tail import POSTPROCESS, Options, detection_tail, strongest, tail_options

SIGNATURE = "serving_default"

Answer = Callable[[RawOutputs], dict[str, tf.Tensor]]


def export_tflite_int8(
    model: keras.Model,
    config: Config,
    label_map: LabelMap,
    calibration: Iterable[ArrayLike],
    path: str | Path,
    pixels: Literal["uint8", "float32"] = "uint8",
) -> None:
    """Writes the detector as one int8 TFLite file, see `TFLiteWriter.write_int8`."""
    with TFLiteWriter(model, config, label_map) as writer:
        writer.write_int8(path, calibration, pixels)


def export_tflite_float(
    model: keras.Model,
    config: Config,
    label_map: LabelMap,
    path: str | Path,
    weights: Literal["float32", "float16", "dynamic"] = "float32",
) -> None:
    """Writes the detector as one TFLite file in floats, see `TFLiteWriter.write_float`."""
    with TFLiteWriter(model, config, label_map) as writer:
        writer.write_float(path, weights)


class TFLiteWriter:
    """Writes TFLite files of one detector, each complete or not at all; a context, whose end removes scratch files.

    Args:
      model: the network of `build_detector`.
      config: its config; `nms` becomes attributes of the post-processing (hard suppression; the op knows no other).
      label_map: its classes.

    Input: `[1, H, W, 3]` RGB pixels 0..255 as they are. Outputs, float32, m = nms.max_detections:
    detection_boxes `[1, m, 4]` yxyx as fractions of the input, detection_classes `[1, m]` from 0,
    detection_scores `[1, m]`, num_detections `[1]`; slots beyond the number hold garbage. A `raw` file is one without
    post-processing: class_logits_i `[1, h, w, a * k]` and box_deltas_i `[1, h, w, a * 4]` of every level i; it also
    holds `anchors.npy`.
    """

    def __init__(self, model: keras.Model, config: Config, label_map: LabelMap) -> None:
        self._model, self._config, self._label_map = model, config, label_map
        self._work = ExitStack()
        self._calibrated: dict[bool, tuple[Iterable[ArrayLike], CalibratedNetwork]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._work.close()

    def write_int8(
        self,
        path: str | Path,
        calibration: Iterable[ArrayLike],
        pixels: Literal["uint8", "float32"] = "uint8",
        raw: bool = False,
    ) -> None:
        """The network in int8, but for `export.float_layers`.

        Args:
          path: the .tflite file to write.
          calibration: letterboxed images `[H, W, 3]` uint8 from the training set; read once for all files of a kind.
          pixels: the type of the input.
          raw: leave the post-processing out, for accelerators that take integers alone; outputs are int8, each with its
            scale and zero point, and no layer stays float.
        """
        float_layers = () if raw else self._config.export.float_layers
        network = self.calibrated(calibration, raw, float_layers)
        content = network.quantized(pixels, "int8" if raw else "float32", float_layers)
        numbers = f"int8, calibrated on {network.images} images"
        if isinstance(calibration, RepresentativeDataset):
            numbers += f" (sha256 {calibration.sha256[:16]})"
        self._write(path, content, numbers, raw)

    def calibrated(
        self, calibration: Iterable[ArrayLike], raw: bool = False, float_layers: Sequence[str] = ()
    ) -> CalibratedNetwork:
        """The network that knows its ranges, alone or up to the strongest anchors; made once for the same images.

        Raises ConfigError, before it looks at one, when a pattern of `float_layers` fits no layer.
        """
        if self._calibrated.get(raw, (None,))[0] is not calibration:
            folder = self._raw_network[0] if raw else self._network[0]
            self._calibrated[raw] = calibration, CalibratedNetwork(folder, SIGNATURE, calibration, float_layers)
        return self._calibrated[raw][1]

    def write_float(
        self, path: str | Path, weights: Literal["float32", "float16", "dynamic"] = "float32", raw: bool = False
    ) -> None:
        """The network in float32, its `weights` stored as `efficientdet.quantize.convert_float` says."""
        folder = self._raw_network[0] if raw else self._network[0]
        self._write(path, convert_float(folder, SIGNATURE, weights), weights, raw)

    def _write(self, path: str | Path, network: bytes, numbers: str, raw: bool) -> None:
        front = unpack_model(network)
        if raw:
            anchors = anchors_for(self._config).boxes
            content = pack_raw_with_metadata(front, self._config, self._label_map, numbers, anchors)
        else:
            joined = join_models(front, unpack_model(self._tail))
            _set_options(joined, tail_options(self._config, len(self._label_map)))
            content = pack_with_metadata(joined, self._config, self._label_map, numbers)
        write_file(path, content)

    @cached_property
    def _network(self) -> tuple[str, dict[str, tf.TensorSpec]]:
        """The folder of a SavedModel of the network up to the strongest anchors, and its outputs by name."""
        return self._saved(lambda raw: strongest(raw, self._config, len(self._label_map)))

    @cached_property
    def _raw_network(self) -> tuple[str, dict[str, tf.TensorSpec]]:
        """The same of the network alone."""
        return self._saved(lambda raw: by_name(raw.class_logits, raw.box_deltas))

    def _saved(self, answer: Answer) -> tuple[str, dict[str, tf.TensorSpec]]:
        folder = self._work.enter_context(tempfile.TemporaryDirectory())
        network = _Network(self._model, self._config, answer)
        tf.saved_model.save(network, folder, signatures={SIGNATURE: network.run})
        return folder, network.run.structured_outputs

    @cached_property
    def _tail(self) -> bytes:
        return _convert_tail(self._network[1], self._config, len(self._label_map))


class _Network(tf.Module):
    """The part that runs in integers: raw pixels in, what `answer` makes of the raw outputs out, by name."""

    def __init__(self, model: keras.Model, config: Config, answer: Answer) -> None:
        super().__init__()
        weights = [(variable, variable.numpy()) for variable in model.variables]

        def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
            # as constants, since a SavedModel's variables bring a saver with them that takes as long as the network
            with keras.StatelessScope([(variable, tf.constant(value)) for variable, value in weights]):
                return answer(model(normalise(images, config), training=False))

        images = tf.TensorSpec([1, *config.model.input_size, 3], tf.float32, name="images")
        self.run = tf.function(run, autograph=False).get_concrete_function(images)


def _convert_tail(found: dict[str, tf.TensorSpec], config: Config, num_classes: int) -> bytes:
    """The TFLite flatbuffer of what follows the network, all in float32: in int8, weak scores would tie.

    `found` holds the outputs of `strongest`, which become the inputs.
    """

    def tail(**found: tf.Tensor) -> dict[str, tf.Tensor]:
        return detection_tail(found, config, num_classes)

    specs = {name: tf.TensorSpec(value.shape, value.dtype, name=name) for name, value in found.items()}
    module = tf.Module()
    module.tail = tf.function(tail, autograph=False)
    with tempfile.TemporaryDirectory() as work:
        tf.saved_model.save(module, work, signatures={SIGNATURE: module.tail.get_concrete_function(**specs)})
        converter = tf.lite.TFLiteConverter.from_saved_model(work, signature_keys=[SIGNATURE])
        converter.allow_custom_ops = True
        return bytes(converter.convert())


def _set_options(model: schema.ModelT, options: Options) -> None:
    """Writes every option into the post-processing op; the converter drops some."""
    [code] = [i for i, c in enumerate(model.operatorCodes) if c.customCode == POSTPROCESS.encode()]
    [op] = [op for op in model.subgraphs[0].operators if op.opcodeIndex == code]
    op.customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
