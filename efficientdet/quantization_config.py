"""Model Maker's QuantizationConfig: the numbers that an exported TFLite file computes in."""

from __future__ import annotations

from typing import Any, Literal

from efficientdet.data.dataloader import DataLoader
from efficientdet.errors import ConfigError

INT8_OPS = "TFLITE_BUILTINS_INT8"
_TYPES = ("float32", "uint8", "int8")


class QuantizationConfig:
    """How TensorFlow's converter stores and computes; the arguments are Model Maker's. None stands for plain float32.

    Args:
      optimizations: any stand for storing weights small, as without the argument; an empty list: float32.
      representative_data: its images calibrate the activations, which are then int8.
      quantization_steps: how many of them; None: `export.calibration_images` of the detector's config.
      inference_input_type: of an int8 file's images, uint8 or float32, both pixels as they are; None: float32.
      inference_output_type: without effect on files with post-processing, which always answers in float32.
      supported_ops: without effect, as the network is int8 throughout in any case.
      supported_types: float16 keeps weights in that; int8 asks for `representative_data`.
      experimental_new_quantizer: without effect; there is one.

    Attributes:
      kind: float32: all. int8: weights and activations. float16: weights. dynamic: weights in int8, activations as
        they come.
      pixels: the type of an image, uint8 or float32.

    Raises:
      ConfigError: a type is asked for that the files cannot have.
    """

    def __init__(
        self,
        optimizations: Any = None,
        representative_data: DataLoader | None = None,
        quantization_steps: int | None = None,
        inference_input_type: Any = None,
        inference_output_type: Any = None,
        supported_ops: Any = None,
        supported_types: Any = None,
        experimental_new_quantizer: Any = None,
    ) -> None:
        self.optimizations = _listed(optimizations)
        self.representative_data, self.quantization_steps = representative_data, quantization_steps
        self.inference_input_type, self.inference_output_type = inference_input_type, inference_output_type
        self.supported_ops, self.supported_types = _listed(supported_ops), _listed(supported_types)
        self.experimental_new_quantizer = experimental_new_quantizer
        self.kind = self._kind()
        self.pixels = self._pixels()
        output = _name(inference_output_type or "float32")
        if output not in _TYPES:
            raise ConfigError(f"inference_output_type={output}: must be one of {', '.join(_TYPES)}; leave it out")

    @classmethod
    def for_dynamic(cls, optimizations: Any = None) -> QuantizationConfig:
        """Weights in int8 of each layer's own range; images, activations and answers stay float32."""
        return cls(optimizations)

    @classmethod
    def for_float16(cls, optimizations: Any = None) -> QuantizationConfig:
        """Weights in float16; images, activations and answers stay float32."""
        return cls(optimizations, supported_types=["float16"])

    @classmethod
    def for_int8(
        cls,
        representative_data: DataLoader,
        quantization_steps: int | None = None,
        optimizations: Any = None,
        inference_input_type: Any = "uint8",
        inference_output_type: Any = "uint8",
        supported_ops: Any = INT8_OPS,
    ) -> QuantizationConfig:
        """Everything in int8 but the post-processing; images in uint8, or in float32 if that is asked for.

        The arguments are those of the class. Raises ConfigError when there are no images, or are to be int8.
        """
        if representative_data is None:
            raise ConfigError("representative_data: int8 needs images to calibrate with; give a DataLoader")
        return cls(
            optimizations,
            representative_data,
            quantization_steps,
            inference_input_type,
            inference_output_type,
            supported_ops,
        )

    def _kind(self) -> Literal["float32", "float16", "dynamic", "int8"]:
        if self.representative_data is not None:
            return "int8"
        types = [_name(each) for each in self.supported_types or ()]
        if "int8" in types or any(_name(each) == INT8_OPS for each in self.supported_ops or ()):
            raise ConfigError("representative_data: int8 needs images to calibrate with; give a DataLoader")
        if self.optimizations == []:
            return "float32"
        return "float16" if "float16" in types else "dynamic"

    def _pixels(self) -> Literal["uint8", "float32"]:
        name = _name(self.inference_input_type or "float32")
        if name == "uint8" and self.kind == "int8":
            return "uint8"
        if name != "float32":
            allowed = "uint8 or float32" if self.kind == "int8" else "float32"
            raise ConfigError(
                f"inference_input_type={name}: {self.kind} files take their images in {allowed}; give that, or leave it"
                " out"
            )
        return "float32"


def _listed(value: Any) -> list[Any] | None:
    return value if value is None or isinstance(value, list) else [*value] if isinstance(value, tuple) else [value]


def _name(value: Any) -> str:
    """Of a type or an OpsSet, which may also be given by name."""
    return str(getattr(value, "name", None) or getattr(value, "__name__", value))
