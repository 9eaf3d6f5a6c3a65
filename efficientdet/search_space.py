"""What a search for hyperparameters varies and within which bounds, and a config with what it found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import product
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from efficientdet.config import Config
from efficientdet.config.model import AspectRatio
from efficientdet.settings import Settings

LEARNING_RATE, JITTER_MIN, JITTER_MAX = "training.learning_rate", "data.jitter_min", "data.jitter_max"
ASPECT_RATIOS = "model.aspect_ratios"

Values = Mapping[str, float | str]
"""Hyperparameters by their names in the config; a list is its YAML text."""


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] >= bounds[1]:
        raise ValueError("the lower bound comes first and is below the upper; to leave it as configured, set null")
    return bounds


Bounds = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_rising)]
Choice = Literal["configured", "suggested"] | Annotated[tuple[AspectRatio, ...], Field(min_length=1)]


class Tuning(Settings):
    """A search for hyperparameters: shorter trainings with values of these ranges; null leaves one as configured."""

    trials: int = Field(0, ge=0, le=10_000, description="Trainings to try, the configured values first; 0: no search.")
    objective: Literal["AP", "AP50", "AP75", "AR100"] = Field(
        "AP", description="What the best trial has most of, on the eval split."
    )
    epochs: float | None = Field(None, gt=0, description="Length of a trial; none: as long as the training.")
    max_steps: int | None = Field(None, ge=1, description="Steps after which a trial ends; none: the training's.")
    learning_rate: Bounds | None = Field((0.02, 0.5), description="Range of training.learning_rate, even in its log.")
    jitter_min: Bounds | None = Field((0.1, 0.9), description="Range of data.jitter_min.")
    jitter_max: Bounds | None = Field((1.1, 2.0), description="Range of data.jitter_max.")
    aspect_ratios: tuple[Choice, ...] | None = Field(
        ("configured", "suggested"),
        min_length=1,
        description="model.aspect_ratios to try: lists; `configured`; `suggested`, which fit the training boxes.",
    )

    @model_validator(mode="after")
    def _something_to_search(self) -> Tuning:
        if self.trials and not self.ranges and self.aspect_ratios is None:
            raise ValueError("tuning: every range is null, so there is nothing to search; set tuning.trials=0")
        return self

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The bounds of every number that is searched, by its name in the config."""
        ranges = {LEARNING_RATE: self.learning_rate, JITTER_MIN: self.jitter_min, JITTER_MAX: self.jitter_max}
        return {name: bounds for name, bounds in ranges.items() if bounds}

    def check(self, config: Config) -> None:
        """Raises ConfigError when the bounds allow a detector of `config` that is not possible."""
        given = [choice for choice in self.aspect_ratios or () if not isinstance(choice, str)]
        for corner in product(*self.ranges.values()):
            with_values(config, dict(zip(self.ranges, corner, strict=True)))
        for ratios in given:
            config.override({"model": {"aspect_ratios": ratios}})

    def trial(self, config: Config, values: Values) -> Config:
        """The config of one trial, which is judged once, at its end."""
        length = {name: getattr(self, name) for name in ("epochs", "max_steps") if getattr(self, name)}
        judged_at_the_end = {"eval_epochs": 0, "patience": None, "result": "last"}
        return with_values(config.override({"training": length | judged_at_the_end}), values)


def with_values(config: Config, values: Values) -> Config:
    """The config with hyperparameters in place of its own."""
    return config.override([f"{name}={value}" for name, value in values.items()])


def config_key(config: Config) -> str:
    """First 16 hex digits of the sha256 of a config: the name of a folder for what depends on it."""
    return hashlib.sha256(config.to_yaml().encode()).hexdigest()[:16]
