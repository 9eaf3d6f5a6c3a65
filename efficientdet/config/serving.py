"""Settings of what a trained detector answers, and of what ships."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from efficientdet.settings import Settings


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

    calibration_images: int = Field(200, ge=1, le=100_000, description="Training images that calibrate int8.")
