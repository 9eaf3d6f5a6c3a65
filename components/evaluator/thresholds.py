"""The bounds of a blessing as thresholds of TensorFlow Model Analysis, so that its own verdict can be compared.

TFMA knows floors and ceilings of the numbers it measures, over the whole split and in slices, and the change against a
baseline. What it does not know, as latency, size, an interval or a policy, is asked by `efficientdet.blessing` alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow_model_analysis as tfma

from efficientdet.blessing import Bounds, Rule
from efficientdet.blessing.bounds import ceiling_of, floors_of

IMAGES = "images"
FLOAT = "float"
_EXPRESSED = ("images.", "floors.", "slice_floors.", "max_tflite_drop.")
_CHANGE = "max_champion_drop."
Thresholds = dict[str, list[tfma.PerSliceMetricThreshold]]
"""Per number (`int8/AP`) what is asked of it, each in the whole split or in one slice."""


def set_thresholds(
    config: tfma.EvalConfig, bounds: Bounds, images: int, variants: Iterable[str], compared: Iterable[str]
) -> None:
    """Puts thresholds into the only MetricsSpec of `config`, in place of those that it has.

    Every one fails on NaN, which is what a metric without groundtruth gives.

    Args:
      config: TFMA's configuration.
      bounds: what is to be expressed.
      images: how many images the split holds; each must be scored once.
      variants: files that the candidate ships.
      compared: those of them that the champion ships too; none where it is not compared.
    """
    variants = list(variants)
    thresholds: Thresholds = {}
    for variant in variants:
        _add(thresholds, f"{variant}/{IMAGES}", _between(lower=images, upper=images))
        for name, floor in ({"AP": 0.0} | floors_of(bounds.floors, variant)).items():
            _add(thresholds, f"{variant}/{name}", _between(lower=floor))
        drop = ceiling_of(bounds.max_tflite_drop, variant)
        if variant != FLOAT and drop is not None:
            _add(thresholds, f"{variant}_drop", _between(upper=drop))
        for where, floors in bounds.slice_floors.items():
            for name, floor in floors_of(floors, variant).items():
                _add(thresholds, f"{variant}/{name}", _between(lower=floor), slicing(where))
    for variant in compared:
        _add_change(thresholds[f"{variant}/AP"][0].threshold, bounds.max_champion_drop)
    [spec] = config.metrics_specs
    spec.ClearField("thresholds")
    spec.ClearField("per_slice_thresholds")
    for name, asked in thresholds.items():
        spec.per_slice_thresholds[name].thresholds.extend(asked)


def slicing(name: str) -> tfma.SlicingSpec:
    """TFMA's name of the slice `FEATURE=VALUE`."""
    feature, _, value = name.partition("=")
    return tfma.SlicingSpec(feature_values={feature: value})


def kept(rules: Iterable[Rule], compared: bool) -> bool:
    """What TFMA must say: whether the values of all rules that the thresholds express keep their bounds.

    compared: whether any file was compared with the champion's by a threshold.
    """
    expressed = (*_EXPRESSED, _CHANGE) if compared else _EXPRESSED
    return all(_kept(rule) for rule in rules if rule.rule.startswith(expressed))


def _kept(rule: Rule) -> bool:
    if rule.outcome == "INCONCLUSIVE":  # thresholds know the value alone
        return rule.value is not None and rule.bound is not None and rule.value <= rule.bound
    return rule.outcome != "FAILED"


def _add(
    thresholds: Thresholds, name: str, threshold: tfma.MetricThreshold, where: tfma.SlicingSpec | None = None
) -> None:
    spec = where or tfma.SlicingSpec()
    thresholds.setdefault(name, []).append(tfma.PerSliceMetricThreshold(slicing_specs=[spec], threshold=threshold))


def _add_change(threshold: tfma.MetricThreshold, drop: float | None) -> None:
    if drop is not None:
        threshold.change_threshold.direction = tfma.MetricDirection.HIGHER_IS_BETTER
        threshold.change_threshold.absolute.value = -drop


def _between(lower: float | None = None, upper: float | None = None) -> tfma.MetricThreshold:
    threshold = tfma.MetricThreshold()
    if lower is not None:
        threshold.value_threshold.lower_bound.value = lower
    if upper is not None:
        threshold.value_threshold.upper_bound.value = upper
    return threshold
