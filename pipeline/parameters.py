"""The runtime parameters of a compiled pipeline: what every run may set without compiling again."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tfx.orchestration.data_types import RuntimeParameter

from components.run_parameters import COMPILED, DATA, DATA_PATH, EPOCHS, FLOORS
from pipeline.config import PipelineConfig

SPAN, TURN = "span", "turn"
"""What a run bears besides: the span that it trains, and the turn of the schedule that began it."""


class Parameters(NamedTuple):
    """Each parameter's value in the config, under the name by which a run sets it.

    data_path: folder of the data set. epochs: of the training. floors: `blessing.floors` as JSON.
    """

    data_path: str
    epochs: float
    floors: str

    @classmethod
    def of(cls, config: PipelineConfig) -> Parameters:
        """The values that hold where a run gives none."""
        floors = json.dumps(config.blessing.to_dict()["floors"], sort_keys=True)
        return cls(config.source.path, float(config.detector.training.epochs), floors)

    @property
    def values(self) -> dict[str, Any]:
        """Name to value."""
        return self._asdict()

    def at_run_time(self, name: str) -> RuntimeParameter:
        """What stands in a node's place of the value."""
        value = self.values[name]
        return RuntimeParameter(name=name, ptype=type(value), default=value)

    def of_training(self, data: str) -> dict[str, Any]:
        """What nodes are given whose result depends on the training of these data; see `components.run_parameters`."""
        names = (DATA_PATH, EPOCHS)
        compiled = json.dumps({name: self.values[name] for name in names} | {DATA: data}, sort_keys=True)
        return {name: self.at_run_time(name) for name in names} | {COMPILED: compiled}

    @property
    def of_judgement(self) -> RuntimeParameter:
        """What the Evaluator is given."""
        return self.at_run_time(FLOORS)
