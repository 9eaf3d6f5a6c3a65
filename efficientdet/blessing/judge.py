"""The judgement: what is known of a candidate, asked rule by rule."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from efficientdet.blessing.bounds import ALL, FLOAT, Bounds, Floors, ceiling_of, floors_of
from efficientdet.blessing.evidence import Champion, Evidence, Numbers
from efficientdet.blessing.rule import Rule, at_least, at_most, no_value, policy

NAMED = 5  # classes or images in one sentence
MEGABYTE = 1e6


def judge(bounds: Bounds, evidence: Evidence) -> tuple[Rule, ...]:
    """The rules applied to a candidate, one for each thing that is asked of it."""
    return (
        *(_all_images(variant, evidence) for variant in evidence.metrics),
        *_no_bounds(bounds),
        *_unknown_files(bounds, evidence),
        *_unjudged_files(evidence),
        *_overall(bounds, evidence),
        *_classes(bounds, evidence),
        *_slices(bounds, evidence),
        *_tflite_drops(bounds, evidence),
        *_runtimes(bounds, evidence),
        *_champion(bounds, evidence),
    )


def _all_images(variant: str, evidence: Evidence) -> Rule:
    scored, total = evidence.images[variant], evidence.total
    sentence = f"{variant}: {scored} of {total} images scored"
    if scored == total > 0:
        return Rule(f"images.{variant}", scored, total, "PASSED", sentence)
    reasons = _listed(f"{image_id} ({reason})" for image_id, reason in evidence.unscored.items())
    sentence += "; every image of the split must be, or the numbers mean nothing"
    sentence += f"; not scored: {reasons}" if reasons else ""
    return Rule(f"images.{variant}", scored, total, "FAILED", sentence)


def _no_bounds(bounds: Bounds) -> Iterator[Rule]:
    if not bounds.given:
        sentence = "no bound is configured, so nothing tells whether the model is good enough; set blessing.floors"
        yield policy("on_no_bounds", bounds.on_no_bounds, sentence)


def _unknown_files(bounds: Bounds, evidence: Evidence) -> Iterator[Rule]:
    """Bounds of files that this bundle does not ship."""
    for variant, places in bounds.variants().items():
        if variant not in evidence.metrics:
            near = _nearest(variant, evidence.metrics)
            sentence = f"the bundle ships no file {variant!r}, but blessing.{_listed(places)} bounds it; {near}"
            yield Rule(f"files.{variant}", None, None, "FAILED", sentence)
    if {*bounds.max_tflite_drop, *bounds.max_tflite_class_drop} >= {ALL} and set(evidence.metrics) <= {FLOAT}:
        sentence = "the bundle ships no TFLite file, but blessing bounds what every one of them may lose"
        yield Rule("files.tflite", None, None, "FAILED", sentence)


def _unjudged_files(evidence: Evidence) -> Iterator[Rule]:
    for name in evidence.unjudged:
        sentence = f"{name} ships too, but is neither scored nor run here; it comes from the network of the SavedModel"
        yield Rule(f"files.{name}", None, None, "SKIPPED", sentence)


def _overall(bounds: Bounds, evidence: Evidence) -> Iterator[Rule]:
    for variant, numbers in evidence.metrics.items():
        floors = floors_of(bounds.floors, variant)
        if "AP" not in floors:
            yield _any_number(f"floors.{variant}/AP", f"{variant} AP", numbers["AP"])
        yield from _floors("floors", "", variant, floors, numbers)


def _any_number(name: str, what: str, value: float | None) -> Rule:
    if value is None:
        return no_value(name, what, None)
    return Rule(name, value, None, "PASSED", f"{what} is {value:.4f}; no floor is set, so any number will do")


def _classes(bounds: Bounds, evidence: Evidence) -> Iterator[Rule]:
    if missing := evidence.missing_classes:
        sentence = f"the split holds no groundtruth of {_listed(missing)}, so nothing is known of how it is found"
        yield policy("on_missing_class", bounds.on_missing_class, sentence)
    for name, floors in bounds.class_floors.items():
        asked = {variant: floors_of(floors, variant) for variant in evidence.per_class}
        known = next(iter(evidence.per_class.values()), {})
        if any(asked.values()) and name not in known:
            sentence = f"class {name!r} has a floor, but there is no such class; {_nearest(name, known)}"
            yield Rule(f"class_floors.{name}", None, None, "FAILED", sentence)
            continue
        for variant, least in asked.items():
            numbers = evidence.per_class[variant].get(name, {})
            yield from _floors(f"class_floors.{name}", f" of {name}", variant, least, numbers)


def _slices(bounds: Bounds, evidence: Evidence) -> Iterator[Rule]:
    for name, floors in bounds.slice_floors.items():
        asked = {variant: floors_of(floors, variant) for variant in evidence.metrics}
        if any(asked.values()) and name not in evidence.slices:
            sentence = f"slice {name!r} has a floor, but the split holds no such image"
            near = f"; {_nearest(name, evidence.slices)}" if evidence.slices else ""
            yield Rule(f"slice_floors.{name}", None, None, "FAILED", sentence + near)
            continue
        for variant, least in asked.items():
            numbers = evidence.slices.get(name, {}).get(variant, {})
            yield from _floors(f"slice_floors.{name}", f" where {name}", variant, least, numbers)


def _floors(place: str, where: str, variant: str, floors: Floors, numbers: Numbers) -> Iterator[Rule]:
    for name, floor in floors.items():
        rule, what = f"{place}.{variant}/{name}", f"{variant} {name}{where}"
        if name in numbers:
            yield at_least(rule, what, numbers[name], floor)
        else:
            yield Rule(rule, None, floor, "FAILED", f"{what} has a floor, but is not measured")


def _tflite_drops(bounds: Bounds, evidence: Evidence) -> Iterator[Rule]:
    for variant, numbers in evidence.metrics.items():
        if variant == FLOAT:
            continue
        if (ceiling := ceiling_of(bounds.max_tflite_drop, variant)) is not None:
            drop = _minus(evidence.metrics[FLOAT]["AP"], numbers["AP"])
            yield at_most(f"max_tflite_drop.{variant}", f"float AP minus {variant} AP", drop, ceiling)
        if (ceiling := ceiling_of(bounds.max_tflite_class_drop, variant)) is not None:
            yield _class_drop(variant, evidence, ceiling)


def _class_drop(variant: str, evidence: Evidence, ceiling: float) -> Rule:
    """The class that loses most."""
    ours, floats = evidence.per_class.get(variant, {}), evidence.per_class.get(FLOAT, {})
    drops = {name: _minus(floats[name]["AP"], ours[name]["AP"]) for name in floats if name in ours}
    ranked = sorted(((drop, name) for name, drop in drops.items() if drop is not None), key=lambda d: (-d[0], d[1]))
    name = f"max_tflite_class_drop.{variant}"
    if not ranked:
        return no_value(name, f"float AP minus {variant} AP of a class", ceiling)
    drop, worst = ranked[0]
    others = [f"{name} {drop:.4f}" for drop, name in ranked[1:] if drop > ceiling]
    detail = f"; above it too: {_listed(others)}" if others else ""
    return at_most(name, f"float AP minus {variant} AP of {worst}, the class that loses most,", drop, ceiling, detail)


def _runtimes(bounds: Bounds, evidence: Evidence) -> Iterator[Rule]:
    asked = (
        ("max_latency_ms", bounds.max_latency_ms, "latency_ms", 1.0, "milliseconds per image"),
        ("max_megabytes", bounds.max_megabytes, "bytes", MEGABYTE, "size in megabytes"),
    )
    for place, ceilings, key, unit, what in asked:
        for variant in evidence.metrics:
            if (ceiling := ceiling_of(ceilings, variant)) is None:
                continue
            name, measured = f"{place}.{variant}", evidence.runtimes.get(variant, {}).get(key)
            if measured is None:
                yield Rule(name, None, ceiling, "FAILED", f"{variant}: its {what} has a ceiling, but was not measured")
            else:
                yield at_most(name, f"{variant}: its {what}", measured / unit, ceiling)


def _champion(bounds: Bounds, evidence: Evidence) -> Iterator[Rule]:
    champion = evidence.champion
    if bounds.max_champion_drop is None:
        return
    if champion is None:
        yield policy("on_no_champion", bounds.on_no_champion, "there is no champion to compare with")
        return
    if champion.other_classes:
        sentence = f"the champion {champion.name} was trained on other classes, so nothing can be compared"
        yield policy("on_other_classes", bounds.on_other_classes, sentence)
        return
    if champion.split_change:
        sentence = f"the champion {champion.name} was judged on another split: {champion.split_change}"
        yield policy("on_changed_split", bounds.on_changed_split, sentence)
        if bounds.on_changed_split != "compare":
            return
    for variant in evidence.metrics:
        yield _change(variant, champion, bounds.max_champion_drop, bounds.confidence)


def _change(variant: str, champion: Champion, ceiling: float, confidence: float) -> Rule:
    """Whether the champion is better by more than the ceiling, by less, or whether the images cannot tell."""
    name, what = f"max_champion_drop.{variant}", f"the champion's {variant} AP minus the candidate's"
    if variant not in champion.drops:
        sentence = f"the champion {champion.name} ships no file {variant!r}, so there is nothing to compare it with"
        return Rule(name, None, ceiling, "SKIPPED", sentence)
    drop = champion.drops[variant]
    if drop is None:
        return no_value(name, what, ceiling)
    said = f"; over other images like these it may be {drop.low:.4f} to {drop.high:.4f} ({confidence:.0%} interval)"
    return at_most(name, what, drop.difference, ceiling, said, (drop.low, drop.high))


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {_listed(known)}"
