from __future__ import annotations

import math

import tensorflow_model_analysis as tfma
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_model_analysis.evaluators import metrics_validator

from components.evaluator.eval_config import BASELINE, CANDIDATE, eval_config
from efficientdet.blessing import VARIANTS, Bounds, judge

# Few values, so that bounds are often met exactly; None is an AP without groundtruth.
VALUES = st.sampled_from([None, 0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)
METRICS = st.fixed_dictionaries({variant: st.fixed_dictionaries({"AP": VALUES}) for variant in VARIANTS})
NAMES = list(Bounds.model_fields)


def as_tfma(ours: dict, champion: dict | None, images: dict[str, int]) -> dict[tfma.metrics.MetricKey, float]:
    """The metrics TFMA would have computed, differences to the baseline included."""

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    def key(name: str) -> tfma.metrics.MetricKey:
        return tfma.metrics.MetricKey(name, model_name=CANDIDATE if champion else "", example_weighted=None)

    found = {}
    for variant in VARIANTS:
        ap = key(f"{variant}/AP")
        found[ap] = number(ours[variant]["AP"])
        found[key(f"{variant}/images")] = images[variant]
        if champion:
            found[ap.make_baseline_key(BASELINE)] = number(champion[variant]["AP"])
            found[ap.make_diff_key()] = found[ap] - number(champion[variant]["AP"])
    drop = number(ours["float"]["AP"]) - number(ours["int8"]["AP"])
    return found | {key("int8_drop"): drop}


@settings(max_examples=300, deadline=None)
@given(
    bounds=st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES)),
    ours=METRICS,
    champion=st.none() | METRICS,
    images=st.fixed_dictionaries({variant: st.sampled_from([9, 10]) for variant in VARIANTS}),
)
def test_thresholds_say_what_the_rules_say(bounds: dict, ours: dict, champion: dict | None, images: dict) -> None:
    limits = Bounds(**bounds)
    blessed = all(rule.outcome != "FAILED" for rule in judge(limits, ours, images, 10, champion))
    config = tfma.utils.update_eval_config_with_defaults(
        eval_config(limits, 10, with_baseline=champion is not None), has_baseline=champion is not None
    )
    result = metrics_validator.validate_metrics(((), as_tfma(ours, champion, images)), config)
    assert result.validation_ok == blessed
