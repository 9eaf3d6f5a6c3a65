"""The ONNX file: the network and its suppression for ONNX Runtime and what else reads ONNX."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import tensorflow as tf

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.atomic_file import write_file
from efficientdet.bare_network import Network, detections, held, raw_outputs
from efficientdet.config import Config
from efficientdet.errors import ConfigError, EfficientDetError
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import normalise

OPSET = 17


def check_onnx(config: Config) -> None:
    """Raises EfficientDetError where the converter is missing, ConfigError for what ONNX cannot express."""
    if find_spec("tf2onnx") is None:
        raise EfficientDetError("onnx: tf2onnx is not installed; install the `onnx` extra: pip install '.[onnx]'")
    if config.export.post_mode is not None and config.nms.method == "gaussian":
        raise ConfigError("nms.method=gaussian: ONNX knows hard suppression alone; set nms.method=hard for this export")


def export_onnx(model: Network, config: Config, label_map: LabelMap, path: str | Path) -> None:
    """Writes the detector as an ONNX file, which appears complete or not at all.

    Input: `images` uint8 `[b, H, W, 3]` RGB pixels as they are, fitted into the top-left corner; b is free. Outputs:
    those of `efficientdet.saved_model.export_saved_model`, boxes in pixels of the input, or raw outputs with
    `export.post_mode` none. The file's metadata hold config.yaml, label_map.json and the label map's hash.

    Args:
      model: the network of `build_detector`.
      config: its config.
      label_map: its classes.
      path: the file to write.

    Raises what `check_onnx` does.
    """
    check_onnx(config)
    import onnx
    import tf2onnx

    serving = _Serving(model, config, len(label_map))
    spec = tf.TensorSpec([None, *config.model.input_size, 3], tf.uint8, name="images")
    converted, _ = tf2onnx.convert.from_function(serving.run, input_signature=[spec], opset=OPSET)
    about = {
        config_file.FILE_NAME: config.to_yaml(),
        label_map_file.FILE_NAME: label_map.to_json(),
        "label_map_hash": label_map.hash,
    }
    onnx.helper.set_model_props(converted, about)
    write_file(path, converted.SerializeToString())


class _Serving(tf.Module):
    def __init__(self, model: Network, config: Config, num_classes: int) -> None:
        super().__init__()
        self.held = held(model)
        raw = config.export.post_mode is None

        def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
            answer = model(normalise(images, config), training=False)
            named = raw_outputs(answer) if raw else detections(answer, config, num_classes)
            # The converter names outputs after these.
            return {name: tf.identity(values, name=name) for name, values in named.items()}

        self.run = tf.function(run, autograph=False)
