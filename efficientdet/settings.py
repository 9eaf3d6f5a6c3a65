"""Typed, frozen settings: how every configuration of the product is read, overridden, checked and saved."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from efficientdet.errors import ConfigError, printable_address

_NUMBERS = re.compile(r"\s*[-+]?[\d.]+(e[-+]?\d+)?\s*(\*\s*[-+]?[\d.]+(e[-+]?\d+)?\s*)+", re.IGNORECASE)
_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")
# What pydantic puts into an error's place besides keys: the member of a union that it tried.
_UNION_MEMBER = re.compile(r"(constrained-)?(str|int|float|bool)|.*\[.*\]")


class Settings(BaseModel):
    """A frozen group of settings; unknown keys, wrong types and values out of range raise ConfigError."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    other_names: ClassVar[tuple[str, ...]] = ()  # that `translate` understands besides our own

    @classmethod
    def translate(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` with every setting under our name; raises ValueError where that is impossible."""
        groups = dict(_groups(cls))
        return {
            key: groups[key].translate(value) if key in groups and isinstance(value, Mapping) else value
            for key, value in values.items()
        }

    @model_validator(mode="before")
    @classmethod
    def _no_switches_for_numbers(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, Mapping) else ():
            field = cls.model_fields.get(name)
            inner = value if isinstance(value, (list, tuple)) else [value]
            if field and "bool" not in str(field.annotation) and any(isinstance(item, bool) for item in inner):
                raise ValueError(f"{name}={value!r}: true and false mean nothing here; give a number or a name")
        return values

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
        values = read_yaml(path)
        try:
            values = cls.translate(values)  # now, lest another name in the file win over ours in an override
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from error
        return cls.parse(merge(values, parse_overrides(overrides)), source=str(path))

    def override(self, overrides: Mapping[str, Any] | str | Iterable[str] | None) -> Self:
        """A copy with some settings replaced; takes a nested dict, `"k=v,k.j=v"`, a list of `k=v`, or None for none."""
        if isinstance(overrides, str):
            overrides = [pair for pair in re.split(r",(?=\s*[\w.]+\s*=|\s*$)", overrides) if pair.strip()]
        nested = overrides if isinstance(overrides, Mapping) else parse_overrides(overrides or ())
        return type(self).parse(merge(self.to_dict(), nested), source="override")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values (lists, numbers, strings, None), fit for JSON and YAML."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The settings as YAML, in field order."""
        values = self.to_dict()
        text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        # PyYAML writes Unicode's line breaks bare and reads them as spaces.
        return yaml.safe_dump(values, sort_keys=False) if _LINE_BREAKS.search(text) else text


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key may not come twice and 1e2 is a number, as in YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for i, key in enumerate(keys) if key in keys[:i] and key != "<<"]:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises ConfigError when it is missing, not YAML or not a mapping."""
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give the path of a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if values is None:
        raise ConfigError(f"{path}: is empty, but must hold a mapping of settings, as in 'training: {{epochs: 10}}'")
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {type(values).__name__}, but must hold a mapping of settings")
    return values


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """`["a.b=1", "c=x"]` as `{"a": {"b": 1}, "c": "x"}`; values are read as YAML."""
    nested: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"override {printable_address(pair)!r}: not of the form key=value, as in training.epochs=10"
            )
        leaf: Any = _value(value)
        for part in reversed(key.strip().split(".")):
            leaf = {part: leaf}
        nested = merge(nested, leaf)
    return nested


def _value(text: str) -> Any:
    """A value as YAML reads it, or text; `1.0*2.0*0.5` is a list and `None` is null, as in google/automl."""
    if _NUMBERS.fullmatch(text):
        return [yaml.load(part, _Loader) for part in text.split("*")]
    try:
        return None if text.strip() == "None" else yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text.strip()  # a regular expression, say


def merge(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with every leaf of `over` replaced, mappings merged key by key; a mapping of numbers is a leaf."""
    result = dict(values)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both and not _is_label_map(value) else value
    return result


def _is_label_map(value: Mapping[Any, Any]) -> bool:
    return any(str(key).isdigit() for key in value)


def _sentence(settings: type[Settings], error: ValidationError) -> str:
    """The first problem pydantic found, in our words, with the nearest valid names for an unknown key."""
    problem, keys = _problem(error)
    place = ".".join(keys)
    if problem["type"] == "missing":
        return f"{place}: is missing"
    if problem["type"] == "extra_forbidden":
        place = ".".join(str(part) for part in problem["loc"])
        near = difflib.get_close_matches(place, _paths(settings), n=3, cutoff=0.4)
        return f"{place}: there is no such setting" + (f"; did you mean {' or '.join(near)}?" if near else "")
    message = problem["msg"].removeprefix("Value error, ")
    # A rule between fields says itself which; its input is a whole group.
    between = problem["type"] == "value_error" and _is_group(settings, keys)
    return message if between else f"{place}={printable_address(repr(problem['input']))}: {message}"


def _problem(error: ValidationError) -> tuple[Any, list[str]]:
    """An error and the keys that lead there: of a union's, the one whose member got furthest."""
    found = []
    for problem in error.errors():
        keys = [str(part) for part in problem["loc"] if not _UNION_MEMBER.fullmatch(str(part))]
        found.append((problem, keys))
    first = found[0][1]
    return max((f for f in found if f[1][: len(first)] == first), key=lambda f: len(f[1]))


def _groups(settings: type[Settings]) -> Iterable[tuple[str, type[Settings]]]:
    """The fields that are groups of settings themselves."""
    for name, field in settings.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Settings):
                yield name, kind


def _is_group(settings: type[Settings], keys: list[str]) -> bool:
    for key in keys:
        if key not in (groups := dict(_groups(settings))):
            return False
        settings = groups[key]
    return True


def _paths(settings: type[Settings], prefix: str = "") -> list[str]:
    """Every dotted key of a group of settings."""
    paths = [prefix + name for name in (*settings.model_fields, *settings.other_names)]
    for name, group in _groups(settings):
        paths += _paths(group, f"{prefix}{name}.")
    return paths
