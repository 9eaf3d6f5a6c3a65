"""Is a model good enough to ship? The bounds it must keep, the judgement, and its readable record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from efficientdet.errors import DataError
from efficientdet.settings import Settings

FILE_NAME = "blessing.json"
VARIANTS = ("float", "int8")
"""The two files of a bundle that are judged: the SavedModel and the int8 TFLite."""

BLESSED, NOT_BLESSED = "BLESSED", "NOT_BLESSED"
NO_CHAMPION = "there is no champion to compare with"
Outcome = Literal["PASSED", "FAILED", "SKIPPED"]
Metrics = Mapping[str, Mapping[str, float | None]]
"""COCO's numbers per variant, as `{"float": {"AP": 0.41, ...}, "int8": {...}}`; None where there is none."""


class Bounds(Settings):
    """What a model must keep to be blessed; AP is COCO's, 0..1. Without a floor its AP must still be a number."""

    min_float_ap: float | None = Field(None, ge=0, le=1, description="Floor of the SavedModel's AP.")
    min_int8_ap: float | None = Field(None, ge=0, le=1, description="Floor of the int8 TFLite's AP.")
    max_int8_drop: float | None = Field(None, ge=0, le=1, description="Ceiling of float AP minus int8 AP.")
    max_champion_drop: float | None = Field(
        None, ge=0, le=1, description="Ceiling of the champion's AP minus the candidate's, float and int8 each."
    )

    def floor(self, variant: str) -> float:
        """The least AP of `float` or `int8`; 0 where none is set."""
        return getattr(self, f"min_{variant}_ap") or 0.0


@dataclass(frozen=True)
class Rule:
    """One question asked of the model: its `value` (None: not a number) against its `bound`, and the answer."""

    rule: str
    value: float | None
    bound: float | None
    outcome: Outcome
    sentence: str


@dataclass(frozen=True)
class Blessing:
    """The judgement of one model on one split, with all that it rests on.

    `metrics` are COCO's twelve numbers per variant, `per_class` the same per variant and class name,
    `champion` is the registry version compared with ("" for none) and `champion_metrics` its numbers
    on the same images.
    """

    rules: tuple[Rule, ...]
    split: str
    images_scored: int
    images_total: int
    metrics: Metrics
    per_class: Mapping[str, Metrics] = field(default_factory=dict)
    champion: str = ""
    champion_metrics: Metrics = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """BLESSED when no rule failed, else NOT_BLESSED."""
        return BLESSED if self.blessed else NOT_BLESSED

    @property
    def blessed(self) -> bool:
        return all(rule.outcome != "FAILED" for rule in self.rules)

    @property
    def reasons(self) -> list[str]:
        """The sentences of the rules that failed."""
        return [rule.sentence for rule in self.rules if rule.outcome == "FAILED"]

    def to_json(self) -> str:
        """The text of `blessing.json`: the outcome first, then each rule, then the numbers."""
        images = f"{self.images_scored} of {self.images_total} images scored"
        content = {"outcome": self.outcome, "images": images, **asdict(self)}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def write(self, folder: str | Path) -> Path:
        """Writes `blessing.json` into `folder`, complete or not at all, and returns its path."""
        path = Path(folder) / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{FILE_NAME}")
        aside.write_text(self.to_json(), encoding="utf-8")
        return aside.replace(path)

    @classmethod
    def load(cls, folder: str | Path) -> Blessing:
        """Reads `blessing.json` in `folder`; raises DataError when it is missing or contradicts itself."""
        path = Path(folder) / FILE_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            outcome, _ = values.pop("outcome"), values.pop("images")
            blessing = cls(**values | {"rules": tuple(Rule(**rule) for rule in values["rules"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{path}: is not a blessing of the Evaluator ({error}); evaluate the model again"
            ) from error
        if outcome != blessing.outcome:
            raise DataError(f"{path}: says {outcome}, but its rules say {blessing.outcome}; evaluate the model again")
        return blessing


def judge(
    bounds: Bounds,
    metrics: Metrics,
    images: Mapping[str, int],
    total: int,
    champion: Metrics | None,
    no_champion: str = NO_CHAMPION,
) -> tuple[Rule, ...]:
    """The rules applied to a candidate's `metrics`.

    `images` says per variant how many of the split's `total` images were scored; `champion` holds the
    numbers of the registry's champion on the same images, None when there is none to compare with,
    for the reason that `no_champion` gives.
    """
    rules = [_all_images(variant, images[variant], total) for variant in VARIANTS]
    rules += [_floor(variant, metrics[variant]["AP"], bounds) for variant in VARIANTS]
    if bounds.max_int8_drop is not None:
        loss = _difference(metrics["float"]["AP"], metrics["int8"]["AP"])
        rules.append(_ceiling("max_int8_drop", "float AP minus int8 AP", loss, bounds.max_int8_drop))
    if bounds.max_champion_drop is not None:
        if champion is None:
            rules.append(Rule("max_champion_drop", None, bounds.max_champion_drop, "SKIPPED", no_champion))
        else:
            rules += _champion(metrics, champion, bounds.max_champion_drop)
    return tuple(rules)


def _all_images(variant: str, scored: int, total: int) -> Rule:
    whole = scored == total > 0
    sentence = f"{variant}: {scored} of {total} images scored"
    if not whole:
        sentence += "; every image of the split must be, or the numbers mean nothing"
    return Rule(f"{variant}_images", scored, total, _outcome(whole), sentence)


def _floor(variant: str, ap: float | None, bounds: Bounds) -> Rule:
    name = f"min_{variant}_ap"
    asked = getattr(bounds, name)
    if ap is None:
        return Rule(name, None, asked, "FAILED", f"{variant} AP has no value: the split holds no groundtruth to find")
    if asked is None:
        return Rule(name, ap, None, "PASSED", f"{variant} AP is {ap:.4f}; no floor is set, so any number will do")
    passed = ap >= asked
    verdict = "not below" if passed else "below"
    return Rule(name, ap, asked, _outcome(passed), f"{variant} AP {ap:.4f} is {verdict} its floor {asked:g}")


def _ceiling(name: str, what: str, loss: float | None, bound: float) -> Rule:
    if loss is None:
        return Rule(name, None, bound, "FAILED", f"{what} has no value: the split holds no groundtruth to find")
    passed = loss <= bound
    verdict = "not above" if passed else "above"
    return Rule(name, loss, bound, _outcome(passed), f"{what} is {loss:.4f}, {verdict} its ceiling {bound:g}")


def _champion(metrics: Metrics, champion: Metrics, bound: float) -> list[Rule]:
    return [
        _ceiling(
            f"max_champion_drop_{variant}",
            f"the champion's {variant} AP minus the candidate's",
            _difference(champion[variant]["AP"], metrics[variant]["AP"]),
            bound,
        )
        for variant in VARIANTS
    ]


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _outcome(passed: bool) -> Outcome:
    return "PASSED" if passed else "FAILED"
