"""Which span of the data a run trains: the newest that the patterns of a source find."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from datetime import date
from typing import NamedTuple

import tensorflow as tf
from tfx.components.example_gen import utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2

from components.example_gen.span_pattern import BRACES, DATE_DIGITS, Texts, fill, has_braces, is_well_written, texts_of
from efficientdet.errors import DataError, reason
from pipeline.config import SourceConfig

_EPOCH = date(1970, 1, 1)

logger = logging.getLogger(__name__)


class Span(NamedTuple):
    """A span by its number (of a date the days since 1970), and the version of its data where patterns have one.

    texts: what stands in the place of each brace, as {"SPAN": "007"}.
    """

    number: int
    version: int | None
    texts: Texts

    def __str__(self) -> str:
        return f"{self.number}" if self.version is None else f"{self.number}.{self.version}"

    @property
    def age(self) -> tuple[int, int]:
        """The greatest is the newest."""
        return self.number, self.version or 0


def newest_span(source: SourceConfig, path: str | None = None) -> tuple[SourceConfig, str]:
    """The source with the newest span and version in its paths' places, and the span's name, as 7, or 7.2 with version.

    What has no `{SPAN}` (nor `{YYYY}`, `{MM}`, `{DD}`) stays what it is, and its name is empty. A name without a number
    where a brace stands, as 8.partial has, is a delivery on its way: it is left out, and logged.

    Args:
      source: whose splits may hold `{SPAN}` and `{VERSION}`.
      path: folder or bucket of the data; none: the source's own.

    Raises:
      DataError: there is no span, or its newest is not there for every split, or without its images.
    """
    base = path or source.path
    found = {name: _find(base, name, pattern) for name, pattern in source.splits.items() if _has_span(pattern)}
    newest = max(found.values(), key=lambda span: span.age, default=None)
    for name, span in found.items():
        if newest and span.age != newest.age:
            raise DataError(
                f"{base}: the newest span is {newest}, but split {name} ({source.splits[name]}) has none newer than "
                f"{span}; bring what is missing of span {newest}"
            )
    beside = {
        group: {name: _beside(base, source, found, group, name) for name in patterns}
        for group, patterns in {"images": source.images, "captions": source.captions}.items()
    }
    if newest is None:
        return source, ""
    splits = {name: fill(source.splits[name], span.texts) for name, span in found.items()}
    return source.override({"splits": splits, **beside}), str(newest)


def _has_span(pattern: str) -> bool:
    try:
        of_number, of_date, _ = utils.verify_split_pattern_specs(example_gen_pb2.Input.Split(pattern=pattern))
    except ValueError as error:
        raise DataError(f"source.splits: {pattern!r} cannot be read ({error})") from error
    if not is_well_written(pattern):
        raise DataError(f"source.splits: {pattern!r} cannot be read; write {{SPAN}}, or with its digits {{SPAN:3}}")
    return bool(of_number or of_date)


def _find(base: str, split: str, pattern: str) -> Span:
    """A split's newest span."""
    place = os.path.join(base, pattern)  # noqa: PTH118 - it may be in a bucket
    try:
        paths = sorted(fileio.glob(BRACES.sub("*", place)))
    except (tf.errors.OpError, OSError) as error:
        raise DataError(
            f"{base}: cannot be searched for the span of split {split} ({reason(error)}); give a folder or bucket "
            "that can be read here"
        ) from error
    start = len(place) - len(pattern)
    spans = list(_spans((path[start:] for path in paths), pattern))
    if not spans:
        there = f"{paths[0]} is there, but has none" if paths else "there is no such file"
        raise DataError(
            f"{base}: there is no span for split {split}, no file is named as {pattern} with a number for each of its "
            f"braces ({there}); bring the data, or mend source.splits"
        )
    return max(spans, key=lambda span: span.age)


def _spans(paths: Iterator[str], pattern: str) -> Iterator[Span]:
    """Those of the paths that are named as the pattern says."""
    for path in paths:
        texts = texts_of(pattern, path)
        span = _span(texts) if texts else None
        if span:
            yield span
        else:
            logger.warning("%s is left out: it has no number where %s has braces; rename or move it", path, pattern)


def _span(texts: Texts) -> Span | None:
    """The span of what stands in the braces; None for a day that no month has."""
    try:
        day = date(*(int(texts[name]) for name in DATE_DIGITS)) if "YYYY" in texts else None
    except ValueError:
        return None
    number = (day - _EPOCH).days if day else int(texts["SPAN"])
    return Span(number, int(texts["VERSION"]) if "VERSION" in texts else None, texts)


def _beside(base: str, source: SourceConfig, found: Mapping[str, Span], group: str, name: str) -> str:
    """What goes with a split, its folder of images or file of captions, found to be there."""
    pattern: str = getattr(source, group)[name]
    if not has_braces(pattern):
        return pattern
    split = source.splits.get(name, "")
    try:
        if name not in found or not is_well_written(pattern):
            raise KeyError(name)
        filled = fill(pattern, found[name].texts)
    except KeyError as error:
        raise DataError(
            f"source.{group}.{name}: {pattern!r} has braces that are not those of source.splits.{name} ({split!r}); "
            "write the same"
        ) from error
    place = os.path.join(base, filled)  # noqa: PTH118
    if not (fileio.isdir(place) if group == "images" else fileio.glob(place)):
        raise DataError(
            f"{place}: is not there, though span {found[name]} of split {name} is; bring it, or mend "
            f"source.{group}.{name}"
        )
    return filled
