"""Settings of what a trained detector answers, and of what ships."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from efficientdet.format_name import FormatName
from efficientdet.settings import Settings


def _names(value: Any) -> Any:
    """A single name, or several joined by `*`, as google/automl's override strings have lists."""
    return value.split("*") if isinstance(value, str) else value


def _each_once(names: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(names))


def _listed(value: Any) -> Any:
    """A single pattern."""
    return [value] if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_each_once)]
FormatNames = Annotated[tuple[FormatName, ...], BeforeValidator(_names), AfterValidator(_each_once)]


class NmsConfig(Settings):
    """From raw outputs to detections."""

    method: Literal["hard", "gaussian"] = Field("hard", description="Hard suppression or gaussian soft-NMS.")
    per_class: bool = Field(True, description="Suppress within a class only, or whatever the class.")
    iou_threshold: float = Field(0.5, gt=0, le=1, description="Overlap above which the weaker box goes (hard).")
    sigma: float = Field(0.5, gt=0, le=10, description="Width of gaussian soft-NMS.")
    score_threshold: float = Field(0.01, ge=0, lt=1, description="Detections below are not reported.")
    max_candidates: int = Field(
        5000, ge=0, description="Best (anchor, class) pairs that enter suppression; 0: every anchor's best class."
    )
    max_detections: int = Field(100, ge=1, le=10_000, description="Detections per image.")


class ExportConfig(Settings):
    """What ships."""

    formats: FormatNames = Field(
        ("saved_model", "tflite_int8"), min_length=1, description="Files that are written, see `efficientdet export`."
    )
    pre_mode: Literal["infer"] | None = Field(
        "infer",
        description="SavedModel, frozen graph and TensorRT take images of any size (infer), or the network's input.",
    )
    post_mode: Literal["nms", "global", "per_class", "tflite"] | None = Field(
        "nms",
        description="They answer detections, suppressed as nms.per_class says (nms), whatever the class (global) or "
        "within it (per_class), or as TFLite's operator would (tflite); none: raw outputs.",
    )
    calibration_images: int = Field(200, ge=1, le=100_000, description="Training images that calibrate int8.")
    calibration_seed: int = Field(0, ge=0, le=2**31 - 1, description="Another one chooses other images.")
    float_layers: Patterns = Field(
        (),
        description="Layers that int8 TFLite files keep in float, as `efficientdet quantize-report` names them; * "
        "stands for anything.",
    )

    @property
    def finds_objects(self) -> bool:
        """Whether SavedModel, frozen graph and TensorRT find objects in pictures with nothing before or after them."""
        return self.pre_mode is not None and self.post_mode is not None

    @model_validator(mode="after")
    def _batch_of_one(self) -> ExportConfig:
        if self.post_mode == "tflite" and self.pre_mode is not None:
            raise ValueError(
                "export.post_mode=tflite goes with export.pre_mode=null, as TFLite's operator takes one image that "
                "fits the network; set both"
            )
        return self
