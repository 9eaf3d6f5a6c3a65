"""The Pusher node: what it takes and gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, ComponentSpec, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.pusher.executor import Executor
from components.run_parameters import TRAINING_PARAMETERS


class PusherSpec(ComponentSpec):
    """The Pusher's ports."""

    INPUTS = {  # noqa: RUF012 TFX's own form
        "model": ChannelParameter(type=standard_artifacts.Model),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics, optional=True),
    }
    OUTPUTS = {"pushed_model": ChannelParameter(type=standard_artifacts.PushedModel)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        "registry": ExecutionParameter(type=str),
        "tags": ExecutionParameter(type=str),
        "fingerprint": ExecutionParameter(type=str),
        **TRAINING_PARAMETERS,
    }


class Pusher(base_component.BaseComponent):
    """Registers what Evaluator and InfraValidator blessed; outputs `pushed_model`.

    Its `pushed.json` holds {pushed, reason} and, when pushed, {name, version, alias}. A model that is not
    blessed is no error: nothing is registered and the reason tells which rule it broke.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        blessing: BaseChannel,
        infra_blessing: BaseChannel,
        evaluation: BaseChannel,
        examples: BaseChannel,
        registry: Mapping[str, str],
        tags: Mapping[str, str] | None = None,
        fingerprint: str = "",
        statistics: BaseChannel | None = None,
        run_parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """The node of a pipeline.

        Args:
          model: the Exporter's Model, a bundle.
          blessing: ModelBlessing of that model, with the Evaluator's `blessing.json`.
          infra_blessing: InfraBlessing of that model.
          evaluation: ModelEvaluation with its `metrics.json`.
          examples: Examples the model was trained on; label map and ledger are taken from them.
          registry: `uri` of the registry, `name` to register under and `alias` that moves: `champion` is promoted,
            with a record of it; `candidate` waits for somebody to promote it.
          tags: facts of this run to keep with the version, such as the fingerprint of its data.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
          statistics: ExampleStatistics of our StatisticsGen, whose profile of the data the version then keeps.
          run_parameters: for a compiled pipeline, `data_path`, `epochs` and `compiled` of `components.run_parameters`.
        """
        spec = PusherSpec(
            model=model,
            blessing=blessing,
            infra_blessing=infra_blessing,
            evaluation=evaluation,
            examples=examples,
            statistics=statistics,
            registry=json.dumps(dict(registry)),
            tags=json.dumps(dict(tags or {})),
            fingerprint=fingerprint,
            pushed_model=Channel(type=standard_artifacts.PushedModel),
            **(run_parameters or {}),
        )
        super().__init__(spec=spec)
