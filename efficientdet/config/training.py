"""Settings of optimisation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from efficientdet.settings import Settings


class TrainingConfig(Settings):
    """Optimisation. Defaults are google/automl's, the learning rate being for a batch of 64."""

    epochs: float = Field(300, gt=0, description="Passes over the training split.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many steps, whatever the epochs say.")
    batch_size: int = Field(
        64, ge=1, le=65_536, description="Images per step, over all devices; auto: 64, in parts that fit into memory."
    )
    accumulate: int | Literal["auto"] = Field(
        1, description="Parts that a device works its share of a step through one by one; auto: as memory asks for."
    )
    strategy: Literal["gpus", "workers", "tpu"] | None = Field(
        None, description="One device; all GPUs of a machine; all workers of TF_CONFIG; or a TPU."
    )
    tpu: str | None = Field(None, description="Name or grpc:// address of the TPU; none: the one of this machine.")
    gcp_project: str | None = Field(None, description="Google Cloud project of the TPU; none: this machine's.")
    tpu_zone: str | None = Field(None, description="Zone of the TPU; none: this machine's.")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="What the network computes in; weights and losses are float32 always."
    )
    loss_scale: float | None = Field(
        None, ge=1, description="First scale of float16's gradients, halved and doubled as they allow; none: 2**15."
    )
    xla: bool = Field(False, description="Compile the step with XLA; on a TPU it is always. Slow on CPUs.")
    steps_per_execution: int = Field(
        1, ge=1, le=10_000, description="Steps between two looks at the losses, at files and signals."
    )
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
    deterministic: bool | None = Field(
        None,
        description="The same weights, bit for bit, whenever a run is repeated on the same device; none: on CPUs, "
        "unless compiled with XLA; elsewhere some kernels have no such form.",
    )
    checkpoint_steps: int = Field(200, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(3, ge=1, le=100, description="How many checkpoints stay on disk, besides the best.")
    eval_epochs: float = Field(
        5, ge=0, description="Epochs between looks at the AP of the whole eval split, one at the end too; 0: none."
    )
    patience: int | None = Field(None, ge=1, description="Stop after so many looks without a better AP; none: never.")
    result: Literal["last", "best"] = Field(
        "last", description="Weights that a run ends with: the last, or best by AP."
    )
    preflight: bool = Field(True, description="Try out data, memory and learning rate before the first step.")
    profile_steps: tuple[int, int] | None = Field(
        None, description="First and last step to record for TensorBoard's profiler; none: no profile."
    )

    @model_validator(mode="before")
    @classmethod
    def _auto(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("batch_size") == "auto":
            values = {**values, "accumulate": "auto"}
            del values["batch_size"]
        return values

    @model_validator(mode="after")
    def _possible(self) -> TrainingConfig:
        if isinstance(self.accumulate, int) and (self.accumulate < 1 or self.batch_size % self.accumulate):
            raise ValueError(
                f"training.accumulate={self.accumulate}: must divide training.batch_size={self.batch_size}"
            )
        if self.drop_epochs[0] > self.drop_epochs[1]:
            raise ValueError(
                f"training.drop_epochs={self.drop_epochs}: the second drop comes before the first; swap them"
            )
        if (self.patience or self.result == "best") and not self.eval_epochs:
            name = "patience" if self.patience else "result"
            raise ValueError(f"training.{name}: needs an AP to go by; set training.eval_epochs, to 1 say")
        if self.xla and self.strategy in ("gpus", "workers"):
            raise ValueError(
                f"training.xla: the sums over devices of strategy={self.strategy} cannot be part of a compiled step; "
                "leave one of them out"
            )
        if self.profile_steps and not 0 < self.profile_steps[0] <= self.profile_steps[1]:
            raise ValueError(
                f"training.profile_steps={list(self.profile_steps)}: must be the first and the last step, from 1 on"
            )
        if self.deterministic and (self.xla or self.strategy == "tpu"):
            name = "xla" if self.xla else "strategy=tpu"
            raise ValueError(
                "training.deterministic: XLA has no deterministic gradient of a max pool; "
                f"leave out this or training.{name}"
            )
        if self.strategy == "tpu" and self.precision == "float16":
            raise ValueError("training.precision=float16: TPUs compute in bfloat16 or float32; set bfloat16")
        return self

    @field_validator("freeze")
    @classmethod
    def _expression(cls, freeze: str | None) -> str | None:
        try:
            re.compile(freeze or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from error
        return freeze
