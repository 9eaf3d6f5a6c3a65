"""What scripts read of the data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from efficientdet.data.profile import Profile
from efficientdet.validation import ANOMALIES_FILE, DRIFT_FILE, Anomaly, Drift, to_json
from pipeline.summary import _data, _outcome, _reasons, never_started


def test_distances_by_split_and_anomalies_as_the_validator_wrote_them(tmp_path: Path) -> None:
    cats, dogs = (Profile(classes=Counter({name: 2})) for name in ("cat", "dog"))
    drift = Drift.measure({"train": cats, "eval": dogs}, "pets@3", {"train": cats}, "")
    anomaly = Anomaly("warning", "eval", "image/format", "odd")
    (tmp_path / ANOMALIES_FILE).write_text(to_json([anomaly]))
    (tmp_path / DRIFT_FILE).write_text(json.dumps(drift.to_dict()))
    found = _data(tmp_path)
    assert (found["baseline"], found["note"]) == ("pets@3", "")
    assert found["anomalies"] == [vars(anomaly)]
    assert found["skew"]["eval"]["classes"] == 1
    assert found["drift"] == {"train": dict.fromkeys(found["skew"]["eval"], 0.0)}


def test_without_a_verdict_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert _data(None) == _data(tmp_path) == never_started("no")["data"] == {}
    for damaged in ("{", "[]", "\udcff"):
        for name in (ANOMALIES_FILE, DRIFT_FILE):
            (tmp_path / name).write_text(damaged, errors="surrogateescape")
        assert _data(tmp_path) == {}


RULES = [
    {"outcome": "PASSED", "sentence": "float AP is fine"},
    {"outcome": "INCONCLUSIVE", "sentence": "these images cannot tell"},
    {"outcome": "SKIPPED", "sentence": "there is no champion"},
]
REFUSED = {"pushed": False, "reason": "another became champion"}


@pytest.mark.parametrize(
    ("blessing", "pushed", "outcome"),
    [
        ({"outcome": "INCONCLUSIVE", "blessed": False}, REFUSED, "INCONCLUSIVE"),
        ({"outcome": "INCONCLUSIVE", "blessed": True}, {"pushed": True}, "BLESSED"),
        ({"outcome": "INCONCLUSIVE", "blessed": True}, REFUSED, "NOT_BLESSED"),
        ({"outcome": "NOT_BLESSED", "blessed": False}, REFUSED, "NOT_BLESSED"),
        ({"outcome": "NOT_BLESSED", "blessed": True}, {"pushed": True}, "BLESSED"),
        ({"outcome": "BLESSED", "blessed": True}, REFUSED, "NOT_BLESSED"),
        ({"outcome": "BLESSED", "blessed": True}, None, "COMPLETE"),
        ({}, None, "COMPLETE"),
    ],
)
def test_the_outcome_is_what_became_of_the_model(blessing: dict, pushed: dict, outcome: str) -> None:
    assert _outcome(blessing, pushed) == outcome


def test_the_reasons_are_what_spoke_against_it() -> None:
    assert _reasons({"rules": RULES}, {}, REFUSED) == ["these images cannot tell"]
    assert _reasons({"rules": RULES[:1]}, {}, REFUSED) == ["another became champion"]
    assert _reasons({}, {}, None) == []


def test_what_does_not_run_is_a_reason_after_what_is_not_good_enough() -> None:
    rules = {"rules": [{"outcome": "FAILED", "sentence": "AP is low"}, {"outcome": "PASSED", "sentence": "fine"}]}
    infra, pushed = {"reasons": ["int8: crashed"]}, {"pushed": False, "reason": "AP is low; int8: crashed"}
    assert _reasons(rules, infra, pushed) == ["AP is low", "int8: crashed"]
    assert _reasons({"rules": []}, infra, pushed) == ["int8: crashed"]
    assert _reasons({"rules": []}, {}, {"pushed": True}) == []
    assert never_started("no")["runtimes"] == {}
