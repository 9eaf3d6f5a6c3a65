"""What TensorFlow Model Analysis is asked to measure."""

from __future__ import annotations

import json
from collections.abc import Sequence

import tensorflow_model_analysis as tfma

from components.evaluator.metrics import CocoDetectionMetrics

CANDIDATE, BASELINE = "candidate", "baseline"


def eval_config(
    variants: Sequence[str], slices: Sequence[tfma.SlicingSpec] = (), with_baseline: bool = False
) -> tfma.EvalConfig:
    """Our metric of all `variants` over the whole split and in `slices`, with or without a second model to compare."""
    names = [CANDIDATE, BASELINE] if with_baseline else [CANDIDATE]
    count = tfma.MetricConfig(class_name="ExampleCount")  # by which TFMA's viewer weighs slices
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name=name, is_baseline=name == BASELINE, model_type=tfma.TF_GENERIC) for name in names
        ],
        slicing_specs=[tfma.SlicingSpec(), *slices],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric_config(variants), count])],
        options=tfma.Options(include_default_metrics={"value": False}),
    )


def metric_config(variants: Sequence[str] = ()) -> tfma.MetricConfig:
    """The entry of an EvalConfig that asks for our metric of `variants`, or of all that a bundle has."""
    config = json.dumps({"variants": list(variants)})
    return tfma.MetricConfig(
        class_name=CocoDetectionMetrics.__name__, module=CocoDetectionMetrics.__module__, config=config
    )
