"""TFMA's verdict by our thresholds is that of our own rules, where it can express them."""

from __future__ import annotations

import math
from typing import Any

import tensorflow_model_analysis as tfma
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_analysis.evaluators import metrics_validator

from components.evaluator.eval_config import BASELINE, CANDIDATE
from components.evaluator.thresholds import kept, set_thresholds, slicing
from efficientdet.blessing import Bounds, Champion, Evidence, judge
from efficientdet.bootstrap import Interval

FILES = ("float", "int8", "float16")
NAMES = ("AP", "AP50")
NIGHT = "image/group=night"
# Few values, so that bounds are often met exactly; None is a number without groundtruth.
SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)
VALUES = st.none() | SHARES
METRICS = st.fixed_dictionaries({v: st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES)) for v in FILES})
FLOORS = st.dictionaries(st.sampled_from([*NAMES, "int8/AP", "float/AP50", "int4/AP"]), SHARES, max_size=3)
BOUNDS = {
    "floors": FLOORS,
    "slice_floors": st.dictionaries(st.just(NIGHT), FLOORS),
    "max_tflite_drop": st.dictionaries(st.sampled_from(["all", "int8"]), SHARES),
    "max_champion_drop": VALUES,
    "class_floors": st.just({"dog": {"AP": 1}}),
    "max_megabytes": st.dictionaries(st.just("int8"), st.just(3)),
    "on_changed_split": st.sampled_from(["compare", "skip", "refuse"]),
}


def number(value: float | None) -> float:
    return math.nan if value is None else value


def as_tfma(model: str, ours: dict, champion: dict, images: dict) -> dict[tfma.metrics.MetricKey, float]:
    """What TFMA would have measured, differences to the baseline included."""
    found = {}

    def put(name: str, value: float) -> tfma.metrics.MetricKey:
        key = tfma.metrics.MetricKey(name, model_name=model, example_weighted=None)
        found[key] = value
        return key

    for variant, numbers in ours.items():
        put(f"{variant}/images", images[variant])
        put(f"{variant}_drop", number(ours["float"]["AP"]) - number(numbers["AP"]))
        for name, value in numbers.items():
            key = put(f"{variant}/{name}", number(value))
            if variant in champion:
                found[key.make_baseline_key(BASELINE)] = number(champion[variant][name])
                found[key.make_diff_key()] = number(value) - number(champion[variant][name])
    return found


def validated(config: tfma.EvalConfig, slices: dict[str, dict]) -> bool:
    """TFMA's verdict over the whole split and the slices that it found, a missing one being a failure."""
    results = []
    for where, found in slices.items():
        key = tuple(tuple(pair.split("=")) for pair in [where] if where)
        results.append(metrics_validator.validate_metrics((key, found), config))
    details = [detail for result in results for detail in result.validation_details.slicing_details]
    return all(result.validation_ok for result in results) and not metrics_validator.get_missing_slices(details, config)


@settings(max_examples=200, deadline=None)
@given(
    values=st.fixed_dictionaries({}, optional=BOUNDS),
    ours=METRICS,
    champion=st.just({}) | METRICS.map(lambda metrics: {v: metrics[v] for v in ("float", "int8")}),
    images=st.fixed_dictionaries({variant: st.sampled_from([10, 10, 9]) for variant in FILES}),
    night=st.none() | METRICS,
    changed=st.booleans(),
)
def test_thresholds_say_what_the_rules_say(
    values: dict[str, Any], ours: dict, champion: dict, images: dict, night: dict | None, changed: bool
) -> None:
    bounds = Bounds.parse(values)
    compared = list(champion) if bounds.max_champion_drop is not None and bounds.on_changed_split == "compare" else []
    names = [CANDIDATE, BASELINE] if champion else [CANDIDATE]
    config = tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(name=name, is_baseline=name == BASELINE) for name in names],
        slicing_specs=[tfma.SlicingSpec(), slicing(NIGHT)],
        metrics_specs=[tfma.MetricsSpec()],
    )
    set_thresholds(config, bounds, 10, FILES, compared)
    config = tfma.utils.update_eval_config_with_defaults(config, has_baseline=bool(champion))
    model = CANDIDATE if champion else ""  # TFMA calls a lone model so
    slices = {"": as_tfma(model, ours, champion, images)}
    slices |= {NIGHT: as_tfma(model, night, champion, images)} if night else {}

    drops = {v: difference(champion[v]["AP"], ours[v]["AP"]) for v in champion}
    rival = Champion("pets@3", drops, split_change="that was f00, this is ba4" if changed else "")
    known = Evidence(ours, images, 10, champion=rival if champion else None, slices={NIGHT: night} if night else {})
    assert validated(config, slices) == kept(judge(bounds, known), compared=bool(compared))


def difference(a: float | None, b: float | None) -> Interval | None:
    """As wide an interval as makes every comparison inconclusive."""
    return None if a is None or b is None else Interval(a - b, -1, 1)


def test_thresholds_replace_those_that_were_there() -> None:
    asked = tfma.MetricsSpec(thresholds={"float/AP": tfma.MetricThreshold()})
    config = tfma.EvalConfig(metrics_specs=[asked])
    set_thresholds(config, Bounds(), 10, ["float"], [])
    assert not config.metrics_specs[0].thresholds
    assert set(config.metrics_specs[0].per_slice_thresholds) == {"float/images", "float/AP"}
