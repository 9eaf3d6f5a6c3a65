"""COCO's numbers as a metric of TensorFlow Model Analysis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from efficientdet.blessing import VARIANTS
from efficientdet.boxes import yxyx_to_xywh
from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, Groundtruth, ImageMatches, match_image

CANDIDATE, BASELINE = "candidate", "baseline"
IMAGES, INT8_DROP = "images", "int8_drop"
PER_CLASS = ("AP", "AP50", "AR100")

Accumulators = dict[str, CocoAccumulator]


def eval_config(with_baseline: bool) -> tfma.EvalConfig:
    """TFMA's configuration: our metric, of the candidate and, if there is one, the baseline."""
    names = [CANDIDATE, BASELINE] if with_baseline else [CANDIDATE]
    metric = tfma.MetricConfig(class_name=CocoDetectionMetrics.__name__, module=__name__)
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name=name, is_baseline=name == BASELINE, model_type=tfma.TF_GENERIC) for name in names
        ],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[tfma.MetricsSpec(metrics=[metric])],
        options=tfma.Options(include_default_metrics={"value": False}),
    )


def read_metrics(folder: str) -> dict[str, dict[str, dict[int | None, float | None]]]:
    """What TFMA wrote: per model ("" for a lone one), metric name and class id (None: all) its value.

    Differences between models are left out; NaN is None again.
    """
    found: dict[str, dict[str, dict[int | None, float | None]]] = {}
    for record in tfma.load_metrics(folder):
        for entry in record.metric_keys_and_values:
            if not entry.key.is_diff:
                class_id = entry.key.sub_key.class_id.value if entry.key.HasField("sub_key") else None
                value = entry.value.double_value.value
                names = found.setdefault(entry.key.model_name, {})
                names.setdefault(entry.key.name, {})[class_id] = None if math.isnan(value) else value
    return found


class CocoDetectionMetrics(tfma.metrics.Metric):
    """COCO's twelve numbers of each variant as `float/AP` …, `float/images`, and the AP that int8 loses.

    Some are given per class too, with TFMA's `class_id` as sub key.
    """

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(_computations, name=name, **kwargs)

    @property
    def compute_confidence_interval(self) -> bool:
        """No: AP is not a mean over examples."""
        return False


metric_types.register_metric(CocoDetectionMetrics)


def _computations(model_names: list[str] | None = None, **_: Any) -> list[metric_types.MetricComputation]:
    """One computation per model: match each example, merge the matches, compute at the end."""
    computations = []
    for model_name in model_names or [""]:
        names = [f"{variant}/{name}" for variant in VARIANTS for name in (*COCO_METRICS, IMAGES)] + [INT8_DROP]
        computations.append(
            metric_types.MetricComputation(
                keys=[_key(name, model_name) for name in names],
                preprocessors=[_Match(model_name)],
                combiner=_Combine(model_name),
            )
        )
    return computations


class _Match(metric_types.Preprocessor):
    """From an example's groundtruth and one model's detections to its matches per variant."""

    def __init__(self, model_name: str) -> None:
        super().__init__(name=f"coco_match:{model_name}")
        self._model_name = model_name

    def process(self, extracts: Mapping[str, Any]) -> Iterator[dict[str, ImageMatches]]:
        truth: Groundtruth = extracts[tfma.LABELS_KEY]
        image_id: str = extracts[tfma.FEATURES_KEY]["image/source_id"]
        found = extracts[tfma.PREDICTIONS_KEY][self._model_name]
        yield {
            variant: match_image(image_id, truth, yxyx_to_xywh(boxes.astype(np.float64)), classes, scores)
            for variant, (boxes, scores, classes) in found.items()
        }


class _Combine(beam.CombineFn):
    """Merges matches of one model per variant."""

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name

    def create_accumulator(self) -> Accumulators:
        return {variant: CocoAccumulator() for variant in VARIANTS}

    def add_input(self, accumulators: Accumulators, matches: dict[str, ImageMatches]) -> Accumulators:
        for variant, accumulator in accumulators.items():
            accumulator.add(matches[variant])
        return accumulators

    def merge_accumulators(self, parts: Iterable[Accumulators]) -> Accumulators:
        merged = self.create_accumulator()
        for part in parts:
            for variant, accumulator in merged.items():
                accumulator.merge(part[variant])
        return merged

    def compact(self, accumulators: Accumulators) -> Accumulators:
        for accumulator in accumulators.values():
            accumulator.compact()
        return accumulators

    def extract_output(self, accumulators: Accumulators) -> dict[metric_types.MetricKey, float]:
        values: dict[metric_types.MetricKey, float] = {}
        for variant, accumulator in accumulators.items():
            scores = accumulator.compute()
            numbers = {**scores.metrics, IMAGES: scores.images}
            values |= {_key(f"{variant}/{name}", self._model_name): _number(v) for name, v in numbers.items()}
            for class_id, metrics in scores.per_class.items():
                for name in PER_CLASS:
                    values[_key(f"{variant}/{name}", self._model_name, class_id)] = _number(metrics[name])
        float_ap, int8_ap = (values[_key(f"{variant}/AP", self._model_name)] for variant in VARIANTS)
        return {**values, _key(INT8_DROP, self._model_name): float_ap - int8_ap}


def _key(name: str, model_name: str, class_id: int | None = None) -> metric_types.MetricKey:
    sub_key = None if class_id is None else metric_types.SubKey(class_id=class_id)
    # with example_weighted=False TFMA's thresholds do not find the metric
    return metric_types.MetricKey(name=name, model_name=model_name, sub_key=sub_key, example_weighted=None)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
