"""COCO's numbers as a metric of TensorFlow Model Analysis: matched image by image, merged in any order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types

from components.evaluator.extractor import SCORED_IMAGE_KEY
from efficientdet.blessing import CLASS_METRICS
from efficientdet.coco_metric import CocoAccumulator, ImageMatches, match_image
from efficientdet.scored_image import Found, ScoredImage

IMAGES = "images"

Accumulators = dict[str, CocoAccumulator]


class CocoDetectionMetrics(tfma.metrics.Metric):
    """COCO's twelve numbers of each file of a bundle, as `float/AP` …, and how many images they are of, `float/images`.

    All but AR1 and AR10 are given per class too, with TFMA's `class_id` as sub key; a class without groundtruth in a
    slice has none there. `int8_drop`, and the like for any other file, is what its AP loses against `float`. A number
    that no groundtruth makes is NaN, which no threshold lets pass.

    It needs the extracts of `components.evaluator.extractor`, and serves in any EvalConfig:
    `MetricConfig(class_name="CocoDetectionMetrics", module="components.evaluator.metrics")`, thresholds by the names
    above in `MetricsSpec.thresholds` or, for slices, `per_slice_thresholds`; for a class, in a MetricsSpec that is
    binarised by its id.

    Args:
      variants: the files to measure, one that a bundle lacks included; none: those that it has.
    """

    def __init__(self, variants: Sequence[str] | None = None, name: str | None = None) -> None:
        super().__init__(_computations, variants=list(variants or []), name=name)


metric_types.register_metric(CocoDetectionMetrics)


def _computations(
    model_names: list[str] | None = None, variants: Sequence[str] = (), name: str | None = None
) -> list[metric_types.MetricComputation]:
    """One computation per model: match each example, merge the matches, compute at the end."""
    return [
        metric_types.MetricComputation(
            keys=[],  # the classes are known only at the end
            preprocessors=[_Match(model_name, tuple(variants))],
            combiner=_Combine(model_name, tuple(variants)),
        )
        for model_name in model_names or [""]
    ]


class _Match(metric_types.Preprocessor):
    """From an example's groundtruth and one model's detections to its matches per variant."""

    def __init__(self, model_name: str, variants: tuple[str, ...]) -> None:
        # TFMA takes computations whose preprocessors have one name for one computation
        super().__init__(name=f"coco_match:{model_name}:{','.join(variants)}")
        self._model_name, self._variants = model_name, variants

    def process(self, extracts: Mapping[str, Any]) -> Iterator[dict[str, ImageMatches]]:
        image: ScoredImage = extracts[SCORED_IMAGE_KEY]
        found: Mapping[str, Found] = extracts[tfma.PREDICTIONS_KEY][self._model_name]
        yield {
            variant: match_image(image.image_id, image.truth, each.boxes_xywh, each.classes, each.scores)
            for variant, each in found.items()
            if not self._variants or variant in self._variants
        }


class _Combine(beam.CombineFn):
    """Merges matches of one model per variant."""

    def __init__(self, model_name: str, variants: tuple[str, ...]) -> None:
        self._model_name, self._variants = model_name, variants

    def create_accumulator(self) -> Accumulators:
        return {variant: CocoAccumulator() for variant in self._variants}

    def add_input(self, accumulators: Accumulators, matches: dict[str, ImageMatches]) -> Accumulators:
        for variant, each in matches.items():
            accumulators.setdefault(variant, CocoAccumulator()).add(each)
        return accumulators

    def merge_accumulators(self, parts: Iterable[Accumulators]) -> Accumulators:
        merged = self.create_accumulator()
        for part in parts:
            for variant, accumulator in part.items():
                merged.setdefault(variant, CocoAccumulator()).merge(accumulator)
        return self.compact(merged)

    def compact(self, accumulators: Accumulators) -> Accumulators:
        for accumulator in accumulators.values():
            accumulator.compact()
        return accumulators

    def extract_output(self, accumulators: Accumulators) -> dict[metric_types.MetricKey, float]:
        values: dict[metric_types.MetricKey, float] = {}
        for variant, accumulator in accumulators.items():
            scores = accumulator.compute()
            values |= self._values(variant, {**scores.metrics, IMAGES: scores.images})
            for class_id, metrics in scores.per_class.items():
                values |= self._values(variant, {name: metrics[name] for name in CLASS_METRICS}, class_id)
        return values | self._drops(values)

    def _values(
        self, variant: str, numbers: Mapping[str, float | None], class_id: int | None = None
    ) -> dict[metric_types.MetricKey, float]:
        return {
            _key(f"{variant}/{name}", self._model_name, class_id): math.nan if number is None else float(number)
            for name, number in numbers.items()
        }

    def _drops(self, values: Mapping[metric_types.MetricKey, float]) -> dict[metric_types.MetricKey, float]:
        """By how much the AP of each other file is below that of `float`, over all classes and per class."""
        drops = {}
        for key, ap in values.items():
            variant, _, name = key.name.partition("/")
            reference = values.get(key._replace(name="float/AP"))
            if name == "AP" and variant != "float" and reference is not None:
                drops[key._replace(name=f"{variant}_drop")] = reference - ap
        return drops


def _key(name: str, model_name: str, class_id: int | None) -> metric_types.MetricKey:
    sub_key = None if class_id is None else metric_types.SubKey(class_id=class_id)
    # with example_weighted=False TFMA's thresholds do not find the metric
    return metric_types.MetricKey(name=name, model_name=model_name, sub_key=sub_key, example_weighted=None)
