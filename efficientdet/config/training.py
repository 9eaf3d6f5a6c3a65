"""Settings of optimisation."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from efficientdet.settings import Settings


class TrainingConfig(Settings):
    """Optimisation. Defaults are google/automl's, the learning rate being for a batch of 64."""

    epochs: float = Field(300, gt=0, description="Passes over the training split.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many steps, whatever the epochs say.")
    batch_size: int = Field(64, ge=1, le=65_536, description="Images per step, over all devices.")
    optimizer: Literal["sgd", "adam"] = Field("sgd", description="SGD with momentum, or Adam.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD, first decay rate of Adam.")
    learning_rate: float = Field(0.08, gt=0, le=10, description="Peak rate for a batch of 64; scaled by batch_size/64.")
    schedule: Literal["cosine", "stepwise", "polynomial"] = Field("cosine", description="How the rate falls.")
    warmup_epochs: float = Field(1.0, ge=0, description="Length of the linear warm-up.")
    warmup_init: float | None = Field(
        None, ge=0, le=10, description="Rate at step 0, not scaled by the batch; none: a tenth of the scaled peak."
    )
    drop_epochs: tuple[float, float] = Field((200.0, 250.0), description="Where stepwise falls to 1/10 and 1/100.")
    power: float = Field(0.9, gt=0, description="Exponent of the polynomial schedule.")
    weight_decay: float = Field(4e-5, ge=0, le=1, description="L2 coefficient on convolution kernels.")
    clip_norm: float = Field(
        10.0, ge=0, description="Ceiling of each gradient's norm and of their global norm; 0: none."
    )
    moving_average: float = Field(
        0.9998, ge=0, lt=1, description="Decay of the weights' average used for export; 0: off."
    )
    focal_alpha: float = Field(0.25, ge=0, le=1, description="Focal loss balance (arXiv 1708.02002).")
    focal_gamma: float = Field(1.5, ge=0, le=10, description="Focal loss focusing exponent.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Smoothing of the class targets.")
    huber_delta: float = Field(0.1, gt=0, description="Where the box loss turns linear.")
    box_loss_weight: float = Field(50.0, ge=0, description="Weight of the box loss.")
    iou_loss: Literal["iou", "giou", "diou", "ciou"] | None = Field(
        None, description="Loss on the decoded boxes' overlap, besides the Huber loss."
    )
    iou_loss_weight: float = Field(1.0, ge=0, description="Weight of the overlap loss.")
    positives_momentum: float | None = Field(
        None, ge=0, lt=1, description="Momentum of the running mean of positive anchors that losses are divided by."
    )
    freeze: str | None = Field(
        None, description="Regular expression; variables whose google/automl name starts with a match stay as they are."
    )
    grad_checkpoint: bool = Field(
        False, description="Recompute activations in the backward pass: less memory, about a third more time."
    )
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
