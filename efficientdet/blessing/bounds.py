"""What a model must keep to be blessed, and what becomes of it where that cannot be told."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from efficientdet.blessing.evidence import CLASS_METRICS
from efficientdet.coco_metric import COCO_METRICS
from efficientdet.settings import Settings

ALL = "all"
"""In place of a variant: every file that ships, unless one is named itself."""
FLOAT = "float"
"""The SavedModel, against which every TFLite file is held."""

_OLDER_NAMES = {
    "min_float_ap": ("floors", "float/AP"),
    "min_int8_ap": ("floors", "int8/AP"),
    "max_int8_drop": ("max_tflite_drop", "int8"),
}


def _known_numbers(values: Any) -> Any:
    """Refuses names that are no number of a model, and true and false."""
    for name, value in values.items() if isinstance(values, Mapping) else ():
        variant, slash, metric = str(name).rpartition("/")
        if metric not in COCO_METRICS or (slash and not variant):
            near = difflib.get_close_matches(metric, COCO_METRICS, n=2, cutoff=0.3)
            hint = f"did you mean {' or '.join(near)}" if near else f"there are {', '.join(COCO_METRICS)}"
            raise ValueError(f"{name!r} is no number of COCO, alone or after a file's name as in int8/AP; {hint}?")
        _no_switch(name, value)
    return values


def _class_numbers(values: Any) -> Any:
    """Refuses a number that classes do not have, as no floor of it can be kept."""
    for name in values if isinstance(values, Mapping) else ():
        if str(name).rpartition("/")[2] in {*COCO_METRICS} - {*CLASS_METRICS}:
            raise ValueError(
                f"{name!r} is not measured per class; set floors of it, or take {', '.join(CLASS_METRICS)}"
            )
    return values


def _by_variant(value: Any) -> Any:
    """A single number is meant for every file."""
    return {ALL: value} if isinstance(value, (int, float)) else value


def _numbers_by_variant(value: Any) -> Any:
    entries = _by_variant(value)
    for name, number in entries.items() if isinstance(entries, Mapping) else ():
        _no_switch(name, number)
    return entries


def _tflite_numbers(value: Any) -> Any:
    """Numbers by TFLite file; refuses one of the SavedModel, which cannot lose anything against itself."""
    entries = _numbers_by_variant(value)
    if isinstance(entries, Mapping) and FLOAT in entries:
        raise ValueError(f"{FLOAT!r} is what the TFLite files are held against; name one of them, as in {{int8: 0.02}}")
    return entries


def _slice_names(values: Any) -> Any:
    for name in values if isinstance(values, Mapping) else ():
        if not all(str(name).partition("=")[::2]):
            raise ValueError(f"{name!r} is no slice; write FEATURE=VALUE, as in image/group=night")
    return values


def _no_switch(name: Any, value: Any) -> None:
    if isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: true and false mean nothing here; give a number")


Share = Annotated[float, Field(ge=0, le=1)]
Floors = Annotated[dict[str, Share], BeforeValidator(_known_numbers)]
"""The least value by number: `AP` of every file that ships, `int8/AP` of one."""
ClassFloors = Annotated[Floors, BeforeValidator(_class_numbers)]
Drops = Annotated[dict[str, Share], BeforeValidator(_tflite_numbers)]
Ceilings = Annotated[dict[str, Annotated[float, Field(gt=0)]], BeforeValidator(_numbers_by_variant)]
"""The greatest value by variant; a number alone is for every file that ships."""


class Bounds(Settings):
    """The bounds of a blessing; COCO's numbers are in 0..1. A bound that cannot be checked is not kept.

    A policy (`on_…`) says what a blessing does where no bound can decide: `refuse` it, or let the model pass.
    """

    floors: Floors = Field(default_factory=dict, description="Least numbers, as {AP: 0.4, int8/AP50: 0.6}.")
    class_floors: dict[str, ClassFloors] = Field(
        default_factory=dict, description="Least numbers by class, as {pedestrian: {AP: 0.5}}."
    )
    slice_floors: Annotated[dict[str, Floors], BeforeValidator(_slice_names)] = Field(
        default_factory=dict, description="Least numbers by slice, FEATURE=VALUE, as {image/group=night: {AP: 0.3}}."
    )
    max_tflite_drop: Drops = Field(
        default_factory=dict, description="Greatest float AP minus a TFLite's: 0.02, or {int8: 0.02, float16: 0.001}."
    )
    max_tflite_class_drop: Drops = Field(default_factory=dict, description="The same for each class.")
    max_champion_drop: float | None = Field(
        None, ge=0, le=1, description="Greatest AP of the champion minus the candidate's, of each file both ship."
    )
    max_latency_ms: Ceilings = Field(
        default_factory=dict, description="Slowest median milliseconds per image: 50, or {int8: 30}."
    )
    max_megabytes: Ceilings = Field(default_factory=dict, description="Greatest size in 10^6 bytes: 8, or {int8: 5}.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Of the interval of the difference to the champion.")
    on_inconclusive: Literal["refuse", "bless"] = Field(
        "refuse", description="When the ceiling lies inside of that interval: too few images to tell."
    )
    on_no_bounds: Literal["refuse", "bless"] = Field("refuse", description="When no bound is set at all.")
    on_no_champion: Literal["skip", "refuse"] = Field(
        "skip", description="When max_champion_drop is set and there is no champion yet: leave that bound out or not."
    )
    on_other_classes: Literal["skip", "refuse"] = Field(
        "skip", description="When the champion knows other classes, so that it cannot be compared."
    )
    on_changed_split: Literal["compare", "skip", "refuse"] = Field(
        "compare", description="When the champion was judged on another eval split; compare scores both on this one."
    )
    on_missing_class: Literal["skip", "refuse"] = Field(
        "skip", description="When the split holds no groundtruth of a class. Its floors, if it has any, are not kept."
    )

    other_names: ClassVar[tuple[str, ...]] = tuple(_OLDER_NAMES)

    @classmethod
    def translate(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """`min_float_ap`, `min_int8_ap` and `max_int8_drop` as the entries of floors and max_tflite_drop they are."""
        translated = dict(values)
        for name, (group, key) in _OLDER_NAMES.items():
            entries = _by_variant(translated.get(group, {}))
            if name in translated and isinstance(entries, Mapping):
                others, value = {k: v for k, v in entries.items() if k != key}, translated.pop(name)
                translated[group] = others if value is None else {**others, key: value}
        return translated

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, values: Any) -> Any:
        return cls.translate(values) if isinstance(values, Mapping) else values

    @property
    def given(self) -> bool:
        """Whether any bound is set."""
        champion = () if self.max_champion_drop is None else (self.max_champion_drop,)
        floors = (self.floors, *self.class_floors.values(), *self.slice_floors.values())
        ceilings = (self.max_tflite_drop, self.max_tflite_class_drop, self.max_latency_ms, self.max_megabytes)
        return any((champion, *floors, *ceilings))

    def variants(self) -> dict[str, list[str]]:
        """The files that have a bound of their own, each with the settings that give it one."""
        floors = {"floors": self.floors}
        floors |= {f"class_floors.{name}": each for name, each in self.class_floors.items()}
        floors |= {f"slice_floors.{name}": each for name, each in self.slice_floors.items()}
        pairs = [(key.rpartition("/")[0], f"{place}.{key}") for place, each in floors.items() for key in each]
        for place in ("max_tflite_drop", "max_tflite_class_drop", "max_latency_ms", "max_megabytes"):
            pairs += [(variant, f"{place}.{variant}") for variant in getattr(self, place) if variant != ALL]
        named = sorted({variant for variant, _ in pairs if variant})
        return {variant: [place for owner, place in pairs if owner == variant] for variant in named}


def floors_of(floors: Floors, variant: str) -> dict[str, float]:
    """The least values of one variant by COCO's names: those of every file, and over them its own."""
    everywhere = {name: floor for name, floor in floors.items() if "/" not in name}
    own = {name.rpartition("/")[2]: floor for name, floor in floors.items() if name.rpartition("/")[0] == variant}
    return everywhere | own


def ceiling_of(ceilings: Mapping[str, float], variant: str) -> float | None:
    """The greatest value of one variant; None where none is set."""
    return ceilings.get(variant, ceilings.get(ALL))
