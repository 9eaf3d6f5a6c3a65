"""Model Maker's QuantizationConfig: the numbers that an exported TFLite file computes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from efficientdet.data.dataloader import DataLoader
from efficientdet.errors import ConfigError


@dataclass(frozen=True)
class QuantizationConfig:
    """Made by `for_int8`, `for_float16` or `for_dynamic`; None stands for plain float32.

    Attributes:
      kind: float32: all. int8: weights and activations. float16: weights. dynamic: weights in int8, activations as
        they come.
      representative_data: its images calibrate the activations of int8.
      quantization_steps: how many of them; None: `export.calibration_images` of the detector's config.
    """

    kind: Literal["float32", "float16", "dynamic", "int8"]
    representative_data: DataLoader | None = None
    quantization_steps: int | None = None

    @classmethod
    def for_dynamic(cls) -> QuantizationConfig:
        """Weights in int8 of each layer's own range; images, activations and answers stay float32."""
        return cls("dynamic")

    @classmethod
    def for_float16(cls) -> QuantizationConfig:
        """Weights in float16; images, activations and answers stay float32."""
        return cls("float16")

    @classmethod
    def for_int8(
        cls,
        representative_data: DataLoader,
        quantization_steps: int | None = None,
        inference_input_type: Any = "uint8",
        inference_output_type: Any = "uint8",
        supported_ops: Any = None,
    ) -> QuantizationConfig:
        """Everything in int8 but the post-processing, images in uint8.

        `inference_output_type` and `supported_ops` are there for the sake of old scripts: the standard
        post-processing answers in float32 whatever is asked, and the network is int8 throughout.

        Raises:
          ConfigError: another type of images is asked for.
        """
        name = getattr(inference_input_type, "name", inference_input_type)
        if name != "uint8":
            raise ConfigError(f"inference_input_type={name}: int8 files take their images in uint8; leave it out")
        return cls("int8", representative_data, quantization_steps)
