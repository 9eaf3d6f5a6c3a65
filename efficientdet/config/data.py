"""Settings of the way from records to batches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from efficientdet.config.model import ImageSize
from efficientdet.settings import Settings


class DataConfig(Settings):
    """From records to batches."""

    num_classes: int | None = Field(
        None, ge=1, description="Classes expected in the label map, counted with or without background; none: any."
    )
    label_map: str | dict[int, str] | None = Field(
        None, description="Classes expected: coco, voc, waymo, id: name or the path of a label map; none: any."
    )
    max_boxes: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Groundtruth slots per image; a training image with more keeps a random subset.",
    )
    flip: bool = Field(True, description="Mirror training images left-right with probability 0.5.")
    jitter_min: float = Field(0.1, gt=0, le=10, description="Smallest random scale of a training image.")
    jitter_max: float = Field(2.0, gt=0, le=10, description="Largest random scale of a training image.")
    jitter_size: ImageSize | None = Field(
        None, description="The size that random scales refer to, N or WxH; none: the network input."
    )
    brightness: float = Field(0.0, ge=0, lt=1, description="Random brightness and contrast change, as a fraction.")
    autoaugment: Literal["v0", "v1", "v2", "v3", "test", "randaug"] | None = Field(
        None, description="Learnt augmentation policy for detection (arXiv 1906.11172), or randaug (1909.13719)."
    )
    grid_mask: bool = Field(False, description="Hide a grid of squares in half of the training images (2001.04086).")
    mosaic: float = Field(
        0.0, ge=0, le=1, description="Probability that a training image is made of four (arXiv 2004.10934)."
    )
    mixup: float = Field(
        0.0, ge=0, le=1, description="Probability that a training image is blended with another (arXiv 1902.04103)."
    )
    skip_crowd: bool = Field(True, description="Leave crowd boxes out of the training targets.")

    @model_validator(mode="after")
    def _ordered(self) -> DataConfig:
        if self.jitter_min > self.jitter_max:
            raise ValueError(f"data.jitter_min={self.jitter_min} is above data.jitter_max={self.jitter_max}; swap them")
        return self
