"""Which span of the data a run trains: the newest that the patterns of a source find."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
from tfx.components.example_gen import utils
from tfx.proto import example_gen_pb2

from components.example_gen.source import resolve_span
from efficientdet.errors import DataError, reason
from pipeline.config import SourceConfig


class Span(NamedTuple):
    """A span by its number (of a date the days since 1970), and the version of its data where patterns have one."""

    number: int
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.number}" if self.version is None else f"{self.number}.{self.version}"


def newest_span(source: SourceConfig, path: str | None = None) -> tuple[SourceConfig, str]:
    """The source with the newest span and version in its paths' places, and the span's name, as 7, or 7.2 with version.

    What has no `{SPAN}` (nor `{YYYY}`, `{MM}`, `{DD}`) stays what it is, and its name is empty.

    Args:
      source: whose splits may hold `{SPAN}` and `{VERSION}`.
      path: folder or bucket of the data; none: the source's own.

    Raises:
      DataError: there is no span, or its newest is not there for every split.
    """
    base = path or source.path
    found = {
        name: _find(base, example_gen_pb2.Input.Split(name=name, pattern=pattern))
        for name, pattern in source.splits.items()
        if _has_span(pattern)
    }
    if not found:
        return source, ""
    newest = max((span for span, _ in found.values()), key=lambda span: (span.number, span.version or 0))
    for name, (span, _) in found.items():
        if span != newest:
            raise DataError(
                f"{base}: the newest span is {newest}, but split {name} ({source.splits[name]}) has none newer than "
                f"{span}; bring what is missing of span {newest}"
            )
    exec_properties = {utils.SPAN_PROPERTY_NAME: newest.number, utils.VERSION_PROPERTY_NAME: newest.version}
    beside = {
        group: {name: resolve_span(pattern, exec_properties) for name, pattern in patterns.items()}
        for group, patterns in {"images": source.images, "captions": source.captions}.items()
    }
    return source.override({"splits": {name: pattern for name, (_, pattern) in found.items()}, **beside}), str(newest)


def _has_span(pattern: str) -> bool:
    try:
        of_number, of_date, _ = utils.verify_split_pattern_specs(example_gen_pb2.Input.Split(pattern=pattern))
    except ValueError as error:
        raise DataError(f"source.splits: {pattern!r} cannot be read ({error})") from error
    return bool(of_number or of_date)


def _find(base: str, split: example_gen_pb2.Input.Split) -> tuple[Span, str]:
    """A split's newest span, and the pattern with it in its place."""
    pattern = split.pattern
    try:
        # TFX's own search, the one that its drivers do; it also fills in the split's pattern.
        _, number, version = utils.calculate_splits_fingerprint_span_and_version(base, [split])
    except ValueError as error:
        raise DataError(
            f"{base}: there is no span for split {split.name}, no file is named as {pattern} with a number for each "
            f"of its braces ({reason(error)}); bring the data, or mend source.splits"
        ) from error
    except (tf.errors.OpError, OSError) as error:
        raise DataError(
            f"{base}: cannot be searched for the span of split {split.name} ({reason(error)}); give a folder or bucket "
            "that can be read here"
        ) from error
    return Span(number, version), split.pattern
