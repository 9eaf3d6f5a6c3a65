"""What a user may write under `blessing:`."""

from __future__ import annotations

import re

import pytest
import yaml

from efficientdet.blessing import Bounds
from efficientdet.blessing.bounds import ceiling_of, floors_of
from efficientdet.errors import ConfigError


def test_a_number_is_for_every_file_and_one_with_a_name_before_it_for_that_file() -> None:
    floors = Bounds.parse({"floors": {"AP": 0.4, "AP50": 0.6, "int8/AP": 0.38}}).floors
    assert floors_of(floors, "float") == {"AP": 0.4, "AP50": 0.6}
    assert floors_of(floors, "int8") == {"AP": 0.38, "AP50": 0.6}


def test_a_ceiling_alone_is_for_every_file() -> None:
    bounds = Bounds.parse({"max_latency_ms": 50, "max_megabytes": {"int8": 5}, "max_tflite_drop": 0})
    assert ceiling_of(bounds.max_latency_ms, "float16") == 50
    assert [ceiling_of(bounds.max_megabytes, name) for name in ("float", "int8")] == [None, 5]
    assert ceiling_of(bounds.max_tflite_drop, "int8") == 0


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"min_float_ap": 0.4, "min_int8_ap": 0.3}, {"floors": {"float/AP": 0.4, "int8/AP": 0.3}}),
        ({"max_int8_drop": 0.02}, {"max_tflite_drop": {"int8": 0.02}}),
        ({"max_int8_drop": 0.02, "max_tflite_drop": 0.1}, {"max_tflite_drop": {"all": 0.1, "int8": 0.02}}),
        ({"min_float_ap": None}, {"floors": {}}),
    ],
)
def test_the_older_names_are_understood(older: dict, newer: dict) -> None:
    assert Bounds.parse(older) == Bounds.parse(newer)


def test_an_override_under_an_older_name_replaces_the_entry() -> None:
    bounds = Bounds.parse({"min_int8_ap": 0.3, "floors": {"AP50": 0.5}})
    assert bounds.override(["min_int8_ap=0.99"]).floors == {"AP50": 0.5, "int8/AP": 0.99}
    assert bounds.override(["floors.int8/AP=0.1"]).floors == {"AP50": 0.5, "int8/AP": 0.1}
    assert bounds.override(["min_int8_ap=null"]).floors == {"AP50": 0.5}


def test_what_is_written_down_is_read_back() -> None:
    bounds = Bounds.parse(
        {"floors": {"AP": 0.4}, "class_floors": {"7": {"int8/AP": 0.1}}, "slice_floors": {"image/group=a": {"AP": 0}}}
    )
    assert Bounds.parse(yaml.safe_load(bounds.to_yaml())) == bounds


@pytest.mark.parametrize(
    "values",
    [
        {"floors": {"AP": 0}},
        {"class_floors": {"dog": {"AP": 0.1}}},
        {"class_floors": {"dog": {"int8/AR100": 0.1}}},
        {"slice_floors": {"image/group=a": {"AP": 0.1}}},
        {"max_tflite_class_drop": 0.1},
        {"max_champion_drop": 0},
        {"max_latency_ms": {"int8": 9}},
        {"max_megabytes": 9},
        {"min_int8_ap": 0.1},
    ],
)
def test_any_bound_is_one(values: dict) -> None:
    assert Bounds.parse(values).given


@pytest.mark.parametrize("values", [{}, {"class_floors": {"dog": {}}}, {"on_no_bounds": "bless", "confidence": 0.9}])
def test_no_bound_is_none(values: dict) -> None:
    assert not Bounds.parse(values).given


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"floors": {"mAP": 0.4}}, "'mAP' is no number of COCO, alone or after a file's name as in int8/AP; did you"),
        ({"floors": {"/AP": 0.4}}, "'/AP' is no number of COCO"),
        ({"floors": {"AP": 40}}, "floors.AP=40"),
        ({"floors": {"AP": True}}, "AP=True: true and false mean nothing here"),
        ({"class_floors": {"dog": {"AP5": 0.1}}}, "class_floors.dog={'AP5': 0.1}"),
        (
            {"class_floors": {"dog": {"AR1": 0.1}}},
            "'AR1' is not measured per class; set floors of it, or take AP, AP50",
        ),
        ({"class_floors": {"dog": {"int8/AR10": 0.1}}}, "'int8/AR10' is not measured per class"),
        ({"slice_floors": {"night": {"AP": 0.1}}}, "'night' is no slice; write FEATURE=VALUE"),
        ({"max_tflite_drop": {"int8": 2}}, "max_tflite_drop.int8=2"),
        ({"max_tflite_drop": {"int8": False}}, "int8=False: true and false mean nothing here"),
        ({"max_tflite_drop": {"float": 0.02}}, "'float' is what the TFLite files are held against; name one of them"),
        ({"max_tflite_class_drop": {"float": 0.02}}, "'float' is what the TFLite files are held against"),
        ({"max_megabytes": 0}, "greater than 0"),
        ({"max_int8_drop": 0.1, "max_tflite_drop": "x"}, "max_tflite_drop='x'"),
        ({"min_int8_ap": 75}, "floors.int8/AP=75"),
        ({"min_ap": 0.3}, "did you mean min_"),
        ({"on_no_bounds": "maybe"}, "on_no_bounds='maybe': Input should be 'refuse' or 'bless'"),
    ],
)
def test_a_wrong_bound_names_itself(values: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        Bounds.parse(values)
