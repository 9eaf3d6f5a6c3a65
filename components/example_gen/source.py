"""Where one input split comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.components.example_gen import utils
from tfx.proto import example_gen_pb2
from tfx.types.standard_component_specs import INPUT_BASE_KEY

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


def resolve_span(path: str, exec_properties: Mapping[str, Any]) -> str:
    """A path with the span and version that the driver chose for the annotation files."""
    specs = utils.verify_split_pattern_specs(example_gen_pb2.Input.Split(pattern=path))
    span, version = exec_properties.get(utils.SPAN_PROPERTY_NAME, 0), exec_properties.get(utils.VERSION_PROPERTY_NAME)
    return utils.get_pattern_for_span_version(path, *specs, span, version)
