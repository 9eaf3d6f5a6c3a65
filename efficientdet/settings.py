"""Typed, frozen settings: how every configuration of the product is read, overridden, checked and saved."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from efficientdet.errors import ConfigError


class Settings(BaseModel):
    """A frozen group of settings; unknown keys, wrong types and values out of range raise ConfigError."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any], source: str = "config") -> Self:
        """Settings from nested plain values; `source` names their origin in the error sentence."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{source}: {_sentence(cls, error)}") from error

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Settings from a YAML file, with `key.sub=value` overrides applied on top."""
        return cls.parse(merge(read_yaml(path), parse_overrides(overrides)), source=str(path))

    def override(self, overrides: Mapping[str, Any] | str | Iterable[str]) -> Self:
        """A copy with some settings replaced; takes a nested dict, `"k=v,k.j=v"` or a list of `k=v`."""
        if isinstance(overrides, str):
            overrides = re.split(r",(?=[\w.]+=)", overrides)
        nested = overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)
        return type(self).parse(merge(self.to_dict(), nested), source="override")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values (lists, numbers, strings, None), fit for JSON and YAML."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The settings as YAML, in field order."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises ConfigError when it is missing, not YAML or not a mapping."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give the path of a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {type(values).__name__}, but must hold a mapping of settings")
    return values


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """`["a.b=1", "c=x"]` as `{"a": {"b": 1}, "c": "x"}`; values are read as YAML."""
    nested: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"override {pair!r}: not of the form key=value, as in training.epochs=10")
        try:
            leaf: Any = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(
                f"override {pair!r}: the value is not valid YAML ({' '.join(str(error).split())})"
            ) from error
        for part in reversed(key.strip().split(".")):
            leaf = {part: leaf}
        nested = merge(nested, leaf)
    return nested


def merge(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with every leaf of `over` replaced, mappings merged key by key."""
    result = dict(values)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else value
    return result


def _sentence(settings: type[Settings], error: ValidationError) -> str:
    """The first problem pydantic found, in our words, with the nearest valid names for an unknown key."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        message = first["msg"].removeprefix("Value error, ")
        return f"{place}={first['input']!r}: {message}" if place else message
    near = difflib.get_close_matches(place, _paths(settings), n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{place}: there is no such setting{hint}"


def _paths(settings: type[Settings], prefix: str = "") -> list[str]:
    """Every dotted key of a group of settings."""
    paths = []
    for name, field in settings.model_fields.items():
        paths.append(prefix + name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Settings):
                paths += _paths(kind, f"{prefix}{name}.")
    return paths
