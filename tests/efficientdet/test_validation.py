from __future__ import annotations

import json
from collections import Counter

import pytest

from efficientdet.data.profile import Profile
from efficientdet.errors import ConfigError, DataError
from efficientdet.validation import Anomaly, Drift, Validation, require, to_json

CATS, DOGS, BOTH = (Profile(classes=Counter(names)) for names in (["cat"], ["dog"], ["cat", "dog"]))
ERROR = Anomaly("error", "eval", "image/height", "Column dropped")
WARNING = Anomaly("warning", "train", "", "odd")


@pytest.mark.parametrize(
    ("anomalies", "fail_on", "fails"),
    [
        ([], "warning", False),
        ([WARNING], "error", False),
        ([WARNING], "warning", True),
        ([WARNING, ERROR], "error", True),
        ([WARNING, ERROR], "never", False),
    ],
)
def test_the_severity_decides(anomalies: list[Anomaly], fail_on: str, fails: bool) -> None:
    if not fails:
        return require(anomalies, fail_on, "list.json")
    with pytest.raises(DataError, match=r"validation\.fail_on; list\.json lists all anomalies"):
        require(anomalies, fail_on, "list.json")
    return None


def test_the_first_that_is_severe_is_named_and_the_others_are_counted() -> None:
    with pytest.raises(DataError, match=r"^split eval, image/height: Column dropped; mend the data"):
        require([WARNING, ERROR], "error", "list.json")
    with pytest.raises(DataError, match=r"^split train, whole: odd \(and 1 more\); mend the data"):
        require([WARNING, ERROR], "warning", "list.json")


def test_skew_and_drift_are_measured_split_by_split() -> None:
    found = Drift.measure({"train": CATS, "eval": BOTH, "test": DOGS}, "pets@3", {"train": BOTH, "eval": BOTH}, "")
    assert [(c.split, c.against, c.distances["classes"].value) for c in found.skew] == [
        ("eval", "train", 0.5),
        ("test", "train", 1.0),
    ]
    assert [(c.split, c.against, c.distances["classes"].value) for c in found.drift] == [
        ("train", "pets@3's train", 0.5),
        ("eval", "pets@3's eval", 0.0),
    ]
    assert (found.baseline, found.note) == ("pets@3", "")
    written = json.loads(to_json([ERROR], found))
    assert written["drift"]["drift"]["train"]["gone_classes"] == ["dog"]
    assert written["anomalies"][0]["severity"] == "error"


def test_bounds_make_anomalies_of_the_configured_severity() -> None:
    found = Drift.measure({"train": CATS, "eval": BOTH}, "pets@3", {"train": BOTH}, "")
    assert found.anomalies(Validation()) == []
    assert found.anomalies(Validation(max_skew=0.5, max_drift=0.5)) == [], "a bound may be reached"
    [skew] = found.anomalies(Validation(max_skew=0.4))
    [drift] = found.anomalies(Validation(max_drift=0.4, shift_severity="warning"))
    assert str(skew) == "split eval, classes: 0.500 away from train, most at 'cat', above validation.max_skew=0.4"
    assert (skew.severity, drift.severity) == ("error", "warning")
    assert "away from pets@3's train, most at 'cat', above validation.max_drift=0.4" in drift.message


def test_without_a_baseline_it_says_so_and_bounds_nothing() -> None:
    found = Drift.measure({"train": CATS, "eval": CATS}, "", None, "there is no champion yet")
    assert found.anomalies(Validation(max_drift=0.0)) == []
    assert str(found).splitlines()[-1] == "drift: no baseline: there is no champion yet"
    assert found.to_dict()["note"] == "no baseline: there is no champion yet"


def test_a_bound_is_a_distance() -> None:
    with pytest.raises(ConfigError, match=r"max_drift=1\.5"):
        Validation.parse({"max_drift": 1.5})
    with pytest.raises(ConfigError, match="fail_on='info'"):
        Validation.parse({"fail_on": "info"})
