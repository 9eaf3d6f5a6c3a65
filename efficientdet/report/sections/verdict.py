"""The top of the page: what was judged, the outcome, and each rule."""

from __future__ import annotations

from efficientdet.blessing import Blessing, Rule
from efficientdet.report.chart import styles
from efficientdet.report.markup import Html, join, tag
from efficientdet.report.study import Study
from efficientdet.report.table import ABSENT, difference

KINDS = {"PASSED": "passed", "BLESSED": "passed", "FAILED": "failed", "NOT_BLESSED": "failed", "SKIPPED": "skipped"}
"""The colour of an outcome; all others are in between."""
ORDER = {"FAILED": 0, "PASSED": 2, "SKIPPED": 3}


def verdict(study: Study, blessing: Blessing | None, title: str) -> Html:
    """The heading, with the outcome where the model was judged."""
    return join(
        tag("h1", title),
        tag("p", badge(blessing.outcome), " ", _ships(blessing), class_="verdict") if blessing else None,
        tag("p", _subject(study, blessing), class_="soft"),
        _tiles(study),
        _rules(study, blessing) if blessing else None,
    )


def badge(outcome: str) -> Html:
    """A coloured word."""
    return tag("span", outcome, class_=f"badge {KINDS.get(outcome, 'other')}")


def _subject(study: Study, blessing: Blessing | None) -> str:
    objects, crowds = int(study.objects.sum()), int((~study.objects).sum())
    split = f"Split {blessing.split}: " if blessing else ""
    champion = f" Champion: version {blessing.champion}." if blessing and blessing.champion else ""
    crowd = f" and {crowds} crowds" if crowds else ""
    return f"{split}{len(study.split)} images, {objects} objects{crowd} of {len(study.positives)} classes.{champion}"


def _tiles(study: Study) -> Html | None:
    """AP of each contender at a glance."""
    if not study.contenders:
        return tag("p", "No model was scored.")
    colours = styles(study)
    first = study.contenders[0].scores.metrics["AP"]
    tiles = []
    for contender in study.contenders:
        ap, ap50 = contender.scores.metrics["AP"], contender.scores.metrics["AP50"]
        shown = ABSENT if ap is None else f"{ap:.3f}"
        change = difference(ap, first) if contender is not study.contenders[0] else None
        below = tag("small", f"AP50 {ABSENT if ap50 is None else f'{ap50:.3f}'}")
        tiles.append(tag("div", contender.name, " AP", tag("b", shown, change), below, class_=colours[contender.name]))
    return tag("div", tiles, class_="tiles")


def _rules(study: Study, blessing: Blessing) -> Html:
    worst_first = sorted(blessing.rules, key=lambda rule: ORDER.get(rule.outcome, 1))
    most = study.limits.rows
    more = f"{len(worst_first) - most} more rules, none of them worse." if len(worst_first) > most else None
    rules = tag("ul", map(_rule, worst_first[:most]), class_="rules")
    return join(tag("h2", "Rules", id="rules"), rules, tag("p", more) if more else None)


def _rule(rule: Rule) -> Html:
    value, bound = (ABSENT if number is None else f"{number:.4g}" for number in (rule.value, rule.bound))
    facts = tag("small", f"{rule.rule}: value {value}, bound {bound}")
    return tag("li", badge(rule.outcome), tag("div", rule.sentence, facts))


def _ships(blessing: Blessing) -> str:
    return "The model may ship." if blessing.blessed else "The model does not ship."
