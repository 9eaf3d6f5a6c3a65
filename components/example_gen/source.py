"""Where one input split comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.types.standard_component_specs import INPUT_BASE_KEY

from components.example_gen.span_pattern import fill, texts_of
from efficientdet.data.annotation import Entry
from efficientdet.data.fingerprint import expand
from efficientdet.errors import DataError


@dataclass(frozen=True)
class Source:
    """One input split.

    files: its annotation files. root: the data folder, which no image may leave. image_folder: relative
    to `root`. read: yields the entries of `files`.
    """

    files: list[Path]
    root: str
    image_folder: str
    read: Callable[[], Iterator[Entry]]


def find(exec_properties: Mapping[str, Any], pattern: str) -> list[Path]:
    """The annotation files of a split, sorted; raises DataError when there are none."""
    base = exec_properties[INPUT_BASE_KEY]
    files = expand(base, pattern)
    if not files:
        raise DataError(
            f"{Path(base) / pattern}: annotation file not found; check the data folder and the name of the split"
        )
    return files


def resolve_span(path: str, split: str, found: str) -> str:
    """A path with the span and version that the driver found for a split, with its very digits.

    Args:
      path: that goes with the split, its folder of images or file of captions.
      split: the split's pattern, as it was given.
      found: the same with the span in its place.

    Raises:
      DataError: the path has other braces than the split.
    """
    try:
        return fill(path, texts_of(split, found) or {})
    except KeyError as error:
        raise DataError(f"{path!r} has braces that are not those of its split, {split!r}; write the same") from error
