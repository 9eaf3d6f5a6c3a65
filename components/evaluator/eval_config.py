"""What TensorFlow Model Analysis is asked to measure, and the thresholds that make a blessing of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import tensorflow_model_analysis as tfma

from components.evaluator.metrics import IMAGES, CocoDetectionMetrics
from efficientdet.blessing import VARIANTS, Bounds

CANDIDATE, BASELINE = "candidate", "baseline"


def eval_config(
    bounds: Bounds,
    images: int,
    with_baseline: bool,
    variants: Sequence[str] = VARIANTS,
    slices: Sequence[tfma.SlicingSpec] = (),
) -> tfma.EvalConfig:
    """Our metric of all `variants` over the whole split and in `slices`, with or without a second model to compare.

    The thresholds are of the whole split, and the rules of `efficientdet.blessing.judge`. Every one fails on NaN, which
    is what a metric without groundtruth gives.
    """
    names = [CANDIDATE, BASELINE] if with_baseline else [CANDIDATE]
    count = tfma.MetricConfig(class_name="ExampleCount")  # by which TFMA's viewer weighs slices
    config = tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name=name, is_baseline=name == BASELINE, model_type=tfma.TF_GENERIC) for name in names
        ],
        slicing_specs=[tfma.SlicingSpec(), *slices],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric_config(variants), count])],
        options=tfma.Options(include_default_metrics={"value": False}),
    )
    thresholds = config.metrics_specs[0].per_slice_thresholds  # plain thresholds would be of every slice
    for name, threshold in _thresholds(bounds, images, with_baseline, variants).items():
        thresholds[name].thresholds.add(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)
    return config


def metric_config(variants: Sequence[str] = ()) -> tfma.MetricConfig:
    """The entry of an EvalConfig that asks for our metric of `variants`, or of all that a bundle has."""
    config = json.dumps({"variants": list(variants)})
    return tfma.MetricConfig(
        class_name=CocoDetectionMetrics.__name__, module=CocoDetectionMetrics.__module__, config=config
    )


def _thresholds(
    bounds: Bounds, images: int, with_baseline: bool, variants: Sequence[str]
) -> dict[str, tfma.MetricThreshold]:
    thresholds = {f"{variant}/{IMAGES}": _between(lower=images, upper=images) for variant in variants}
    for variant in VARIANTS:
        thresholds[f"{variant}/AP"] = _between(lower=bounds.floor(variant))
        if with_baseline and bounds.max_champion_drop is not None:
            change = thresholds[f"{variant}/AP"].change_threshold
            change.direction = tfma.MetricDirection.HIGHER_IS_BETTER
            change.absolute.value = -bounds.max_champion_drop
    if bounds.max_int8_drop is not None:
        thresholds["int8_drop"] = _between(upper=bounds.max_int8_drop)
    return thresholds


def _between(lower: float | None = None, upper: float | None = None) -> tfma.MetricThreshold:
    threshold = tfma.MetricThreshold()
    if lower is not None:
        threshold.value_threshold.lower_bound.value = lower
    if upper is not None:
        threshold.value_threshold.upper_bound.value = upper
    return threshold
