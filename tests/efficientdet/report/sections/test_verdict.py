from __future__ import annotations

from dataclasses import replace

import pytest

from efficientdet.blessing import Blessing, Rule
from efficientdet.report.limits import Limits
from efficientdet.report.sections.verdict import badge, verdict

A = (0, 0, 40, 40)
RULES = (
    Rule("max_champion_drop", None, 0.01, "SKIPPED", "there is no champion"),
    Rule("min_float_ap", 0.5, 0.4, "PASSED", "float AP 0.5000 is not below its floor 0.4"),
    Rule("max_int8_drop", 0.03, 0.02, "FAILED", "float AP minus int8 AP is <0.0300>"),
)


def blessing(*rules: Rule) -> Blessing:
    return Blessing(rules=rules, split="val", images_scored=1, images_total=1, metrics={}, champion="7")


def test_the_outcome_and_each_rule_with_the_failed_ones_first(scene, look, read) -> None:
    page = read(verdict(look([scene("1", [(1, A)], float=[(1, A, 0.9)])]), blessing(*RULES), "A <model>"))
    assert page.text.startswith("A <model>NOT_BLESSED The model does not ship.")
    assert "Split val: 1 images, 1 objects of 1 classes. Champion: version 7." in page.text
    shown = [page.text.index(rule.sentence) for rule in (RULES[2], RULES[1], RULES[0])]
    assert shown == sorted(shown)
    assert "max_int8_drop: value 0.03, bound 0.02" in page.text
    assert "max_champion_drop: value n/a, bound 0.01" in page.text


def test_a_blessed_model(scene, look, read) -> None:
    page = read(verdict(look([scene("1", [(1, A)], float=[])]), blessing(RULES[1]), "Evaluation"))
    assert "BLESSED The model may ship." in page.text
    assert ("span", {"class": "badge passed"}) in page.elements


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [("PASSED", "passed"), ("NOT_BLESSED", "failed"), ("SKIPPED", "skipped"), ("INCONCLUSIVE", "other")],
)
def test_outcomes_have_a_colour(outcome: str, kind: str) -> None:
    assert badge(outcome) == f'<span class="badge {kind}">{outcome}</span>'


def test_ap_at_a_glance(scene, look, read) -> None:
    images = [scene("1", [(1, A)], crowds=[(2, A)], float=[(1, A, 0.9)], int8=[])]
    page = read(verdict(look(images), None, "Evaluation"))
    assert "1 images, 1 objects and 1 crowds of 1 classes" in page.text
    assert "float AP1.000AP50 1.000int8 AP0.000 −1.000AP50 0.000" in page.text


def test_without_anything(scene, look, read) -> None:
    assert "No model was scored." in read(verdict(look([]), None, "Evaluation")).text
    assert "float APn/aAP50 n/a" in read(verdict(look([scene("1", float=[])]), None, "Evaluation")).text


def test_many_rules_are_cut(scene, look, read) -> None:
    study = replace(look([scene("1", [(1, A)], float=[])]), limits=Limits(rows=2))
    page = read(verdict(study, blessing(*RULES), "Evaluation"))
    assert RULES[2].sentence in page.text
    assert RULES[0].sentence not in page.text
    assert "1 more rules, none of them worse." in page.text
