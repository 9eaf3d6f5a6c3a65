"""A card says everything a stranger needs, whatever the names contain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from efficientdet.blessing import Blessing, Rule
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.model_card import Facts, model_card

JUDGEMENT = Blessing(
    (Rule("floors.float/AP", 0.6, 0.7, "FAILED", "float AP 0.600 is below the floor 0.7"),),
    "eval",
    11,
    12,
    {"float": {"AP": 0.6, "APs": None}, "int8": {"AP": 0.59, "APs": None}},
    missing_classes=("dog",),
    split_identity="5ee",
).overrule("ann@desk", datetime(2026, 5, 4, 12, tzinfo=UTC), "shipped for the fair")
FACTS = Facts(
    "pets",
    Config(),
    LabelMap.from_names(["cat", "dog"]),
    JUDGEMENT,
    thresholds={"float": {"cat": 0.41}, "int8": {"cat": 0.43}},
    tags={
        "purpose": "Finds pets at the door.",
        "limits": "Not at night.",
        "license": "Apache-2.0",
        "data": "f00",
        "run": "2026-05-04",
        "commit": "c0ffee",
        "baseline": "3",
    },
    boxes={"train": {"cat": 30}, "eval": {"cat": 4, "dog": 0}},
)


def test_the_whole_card() -> None:
    assert (
        model_card(FACTS)
        == f"""\
# pets

Finds pets at the door.

An object detector, efficientdet-lite0, for 2 classes, on images of 320x320 pixels.

## Scores

COCO's numbers on 11 of 12 images of the split `eval`; the verdict: NOT_BLESSED, overridden by ann@desk at \
2026-05-04T12:00:00+00:00: shipped for the fair.

| file | AP | AP50 | AP75 | APs | APm | APl | AR100 |
| --- | --- | --- | --- | --- | --- | --- | --- |
| float | 0.600 | n/a | n/a | n/a | n/a | n/a | n/a |
| int8 | 0.590 | n/a | n/a | n/a | n/a | n/a | n/a |

## Classes

A detection is best believed from its class's threshold on, where F1 is greatest.

| class | threshold float | threshold int8 | boxes in train | boxes in eval |
| --- | --- | --- | --- | --- |
| cat | 0.410 | 0.430 | 30 | 4 |
| dog | n/a | n/a | 0 | 0 |

## Limits

- Not at night.
- It finds the classes above and nothing else; its scores hold for images like those of the split.
- Nobody knows how well it finds dog: the split has none.
- It breaks a rule: float AP 0.600 is below the floor 0.7.

## License

Apache-2.0

## Lineage

| what | which |
| --- | --- |
| data fingerprint | `f00` |
| compared with version | `3` |
| pipeline run | `2026-05-04` |
| commit of the code | `c0ffee` |
| label map | `{FACTS.label_map.hash}` |
| split | `5ee` |
"""
    )


def test_nothing_that_was_not_said_is_made_up() -> None:
    card = model_card(Facts("pets", Config(), FACTS.label_map, replace(JUDGEMENT, override=None)))
    assert "Not stated; ask who published it before using it." in card
    assert "data fingerprint" not in card
    assert "| class |\n| --- |\n| cat |\n| dog |" in card


def test_a_name_cannot_break_the_page() -> None:
    labels = LabelMap.from_names(["a|b", "<script>", "two\nlines"])
    card = model_card(replace(FACTS, label_map=labels, tags={"limits": "<img src=x>\n# no heading"}))
    assert "| a\\|b |" in card
    assert "<" not in card
    assert "| two lines |" in card
    assert "\n# no heading" not in card
