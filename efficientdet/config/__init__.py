"""Every setting of the detector: the only source of names, defaults, ranges and help texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from efficientdet.config import hparams
from efficientdet.config.data import DataConfig
from efficientdet.config.model import ModelConfig
from efficientdet.config.serving import ExportConfig, NmsConfig
from efficientdet.config.training import TrainingConfig
from efficientdet.settings import Settings

__all__ = ["FILE_NAME", "Config", "DataConfig", "ExportConfig", "ModelConfig", "NmsConfig", "TrainingConfig"]

FILE_NAME = "config.yaml"


class Config(Settings):
    """The whole detector. The resolved config is saved beside every checkpoint and exported model.

    google/automl's names (`num_classes`, `var_freeze_expr`, `nms_configs.method` ...) are understood wherever ours
    are; see `efficientdet.config.hparams`.
    """

    model: ModelConfig = Field(default_factory=ModelConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    nms: NmsConfig = Field(default_factory=NmsConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)
    compat: bool = Field(
        False, description="Keep google/automl's behaviour where ours is better (docs/decisions/0007)."
    )

    other_names: ClassVar[tuple[str, ...]] = (*hparams.NAMES, *(f"nms_configs.{name}" for name in hparams.NMS_NAMES))

    @classmethod
    def translate(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return super().translate(hparams.translate(values))

    @model_validator(mode="before")
    @classmethod
    def _google_names(cls, values: Any) -> Any:
        return cls.translate(values) if isinstance(values, Mapping) else values
