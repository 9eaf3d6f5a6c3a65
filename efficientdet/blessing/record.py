"""The record of a judgement, `blessing.json`: each rule with its answer, the numbers, and who overrode it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from efficientdet.atomic_file import write_file
from efficientdet.blessing.evidence import Metrics
from efficientdet.blessing.rule import Rule, possible
from efficientdet.errors import DataError

FILE_NAME = "blessing.json"
Verdict = Literal["BLESSED", "NOT_BLESSED", "INCONCLUSIVE"]
BLESSED: Verdict = "BLESSED"
NOT_BLESSED: Verdict = "NOT_BLESSED"
INCONCLUSIVE: Verdict = "INCONCLUSIVE"

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True, config=_STRICT)
class Override:
    """Who ships a model against the verdict, when and why; `rules` are the names of those that spoke against it."""

    by: Said
    at: AwareDatetime
    reason: Said
    rules: tuple[str, ...]

    def __str__(self) -> str:
        return f"overridden by {self.by} at {self.at.isoformat(timespec='seconds')}: {self.reason}"


@dataclass(frozen=True, config=_STRICT)
class Blessing:
    """The judgement of one model on one split, with all that it rests on.

    split_identity: hash of the split's images and groundtruth. metrics: COCO's twelve numbers per variant. per_class:
    the same by variant and class name. slices: by slice and variant. missing_classes: those without groundtruth in the
    split. runtimes: by variant `bytes`, and `latency_ms` where measured. baseline: the registry version that was
    champion then ("" for none). champion: the same, if it could be compared with. champion_metrics: its numbers on the
    same images. on_inconclusive: what the configuration makes of a verdict that is INCONCLUSIVE.
    """

    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    split: str
    images_scored: int
    images_total: int
    metrics: Metrics
    per_class: Mapping[str, Metrics] = Field(default_factory=dict)
    slices: Mapping[str, Metrics] = Field(default_factory=dict)
    missing_classes: tuple[str, ...] = ()
    runtimes: Mapping[str, Mapping[str, float]] = Field(default_factory=dict)
    split_identity: str = ""
    baseline: str = ""
    champion: str = ""
    champion_metrics: Metrics = Field(default_factory=dict)
    on_inconclusive: Literal["refuse", "bless"] = "refuse"
    override: Override | None = None

    @property
    def outcome(self) -> Verdict:
        """The verdict of the rules, whatever came after it: NOT_BLESSED when one failed, else what cannot be told."""
        found = {rule.outcome for rule in self.rules}
        return NOT_BLESSED if "FAILED" in found else INCONCLUSIVE if "INCONCLUSIVE" in found else BLESSED

    @property
    def blessed(self) -> bool:
        """Whether the model ships: by its verdict, by what the configuration makes of it, or by an override."""
        return self._passes or self.override is not None

    @property
    def _passes(self) -> bool:
        return self.outcome == BLESSED or (self.outcome == INCONCLUSIVE and self.on_inconclusive == "bless")

    @property
    def against(self) -> tuple[Rule, ...]:
        """The rules that failed, and those that could not be told."""
        return tuple(rule for rule in self.rules if rule.outcome in ("FAILED", "INCONCLUSIVE"))

    @property
    def reasons(self) -> list[str]:
        """Their sentences."""
        return [rule.sentence for rule in self.against]

    def overrule(self, by: str, at: datetime, reason: str) -> Blessing:
        """The same record with an override; raises DataError for one without a reason, or of a model that ships."""
        if self.blessed:
            said = self.override or self.outcome
            raise DataError(f"the model is already blessed ({said}); run the pipeline to push it")
        if not reason.strip():
            raise DataError("an override needs a reason for those who read it later; give --reason TEXT")
        return replace(self, override=Override(by, at, reason, tuple(rule.rule for rule in self.against)))

    def to_json(self) -> str:
        """The text of `blessing.json`: the verdict first, then each rule, then the numbers."""
        content = self._derived | _RECORD.dump_python(self, mode="json")
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @property
    def _derived(self) -> dict[str, Any]:
        """What the record says at its head, and holds in its parts."""
        images = f"{self.images_scored} of {self.images_total} images scored"
        return {"outcome": self.outcome, "blessed": self.blessed, "images": images}

    def write(self, folder: str | Path) -> Path:
        """Writes `blessing.json` into `folder`, complete or not at all, and returns its path."""
        return write_file(Path(folder) / FILE_NAME, self.to_json())

    @classmethod
    def load(cls, folder: str | Path) -> Blessing:
        """Reads `blessing.json` in `folder`; raises DataError when it is missing, damaged or contradicts itself."""
        path = Path(folder) / FILE_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            said = {key: values.pop(key) for key in ("outcome", "blessed", "images")}
            blessing = _RECORD.validate_json(json.dumps(values))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{path}: is not a blessing of the Evaluator ({_problem(error)}); evaluate the model again"
            ) from error
        for rule in blessing.rules:
            if rule.outcome not in possible(rule):
                raise DataError(
                    f"{path}: says {rule.outcome} of the rule {rule.rule}, but its value {rule.value} and bound"
                    f" {rule.bound} say {' or '.join(possible(rule))}; evaluate the model again"
                )
        if wrong := [key for key, value in blessing._derived.items() if said[key] != value]:
            raise DataError(
                f"{path}: says {wrong[0]} {said[wrong[0]]}, but its rules say {blessing._derived[wrong[0]]};"
                " evaluate the model again"
            )
        if blessing.override and (
            blessing._passes or blessing.override.rules != tuple(rule.rule for rule in blessing.against)
        ):
            raise DataError(f"{path}: its override is not one of its own verdict; evaluate the model again")
        return blessing


_RECORD = TypeAdapter(Blessing)


def _problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
