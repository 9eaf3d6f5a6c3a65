"""The Evaluator node: TFX's own, with bounds, a registry to take the champion from, and our executor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import BaseChannel, Channel, standard_artifacts
from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import EvaluatorSpec
from tfx.utils import json_utils

from components.evaluator.executor import Executor
from components.run_parameters import FLOORS
from efficientdet.blessing import Bounds
from efficientdet.infra_blessing import Infra

TIMEOUT_S = Infra().timeout_s


class DetectionEvaluatorSpec(EvaluatorSpec):
    """TFX's EvaluatorSpec, and what the judgement depends on besides the artifacts."""

    PARAMETERS = {  # noqa: RUF012 TFX's own form
        **EvaluatorSpec.PARAMETERS,
        "bounds": ExecutionParameter(type=str),
        FLOORS: ExecutionParameter(type=str, optional=True),
        "registry": ExecutionParameter(type=str),
        "baseline": ExecutionParameter(type=str),
        "timeout_s": ExecutionParameter(type=float),
        "fingerprint": ExecutionParameter(type=str),
    }


class Evaluator(base_beam_component.BaseBeamComponent):
    """Scores a bundle on one split with COCO's numbers; outputs `evaluation` and `blessing`.

    `blessing` holds TFX's BLESSED or NOT_BLESSED and a readable `blessing.json`, whose verdict may be INCONCLUSIVE
    too; `evaluation` holds what TensorFlow Model Analysis writes, the same `blessing.json`, and `metrics.json`.
    """

    SPEC_CLASS = DetectionEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        schema: BaseChannel | None = None,
        bounds: Bounds | Mapping[str, Any] | None = None,
        registry: Mapping[str, Any] | None = None,
        baseline: str | None = None,
        split: str = "eval",
        timeout_s: float = TIMEOUT_S,
        fingerprint: str = "",
        floors: RuntimeParameter | None = None,
    ) -> None:
        """The node of a pipeline.

        Args:
          examples: Examples with the label map and ledger that example generation writes.
          model: the Exporter's Model, a bundle.
          schema: Schema of the examples.
          bounds: the Bounds to keep, or their values; without any the model is refused, unless they say otherwise.
          registry: `uri` and `name` of the registered model whose champion is the baseline.
          baseline: registry version to compare with, `@alias` to look it up when scoring, empty for none;
            it is fetched only when `max_champion_drop` is set.
          split: the split to score.
          timeout_s: seconds that a file may take on its own, before anything is scored; see `try_out`.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
          floors: for a compiled pipeline, what a run gives as JSON in place of the bounds' own.
        """
        if not isinstance(bounds, Bounds):
            bounds = Bounds.parse(bounds or {}, source="Evaluator bounds")
        spec = DetectionEvaluatorSpec(
            examples=examples,
            model=model,
            schema=schema,
            bounds=json.dumps(bounds.to_dict()),
            registry=json.dumps(dict(registry or {})),
            baseline=baseline or "",
            timeout_s=float(timeout_s),
            fingerprint=fingerprint,
            floors=floors,
            example_splits=json_utils.dumps([split]),
            fairness_indicator_thresholds=json_utils.dumps(None),
            evaluation=Channel(type=standard_artifacts.ModelEvaluation),
            blessing=Channel(type=standard_artifacts.ModelBlessing),
        )
        super().__init__(spec=spec)
