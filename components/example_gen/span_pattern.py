"""Patterns of paths with braces for a span: `{SPAN}`, `{SPAN:3}`, `{VERSION}`, or `{YYYY}`, `{MM}` and `{DD}`."""

from __future__ import annotations

import re
from collections.abc import Mapping

# TFX's words. Of a number all its digits count, unless a width is given, as in {SPAN:3}.
BRACES = re.compile(r"\{(?:(?P<name>SPAN|VERSION)(?::(?P<width>[1-9][0-9]?))?|(?P<date>YYYY|MM|DD))\}")
_BEGUN = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)")
DATE_DIGITS = {"YYYY": "4", "MM": "2", "DD": "2"}

Texts = Mapping[str, str]
"""What stands in the place of each brace, as {"SPAN": "007"}."""


def has_braces(pattern: str) -> bool:
    """Whether there are any, be they well written or not."""
    return bool(_BEGUN.search(pattern))


def is_well_written(pattern: str) -> bool:
    """Whether all braces are closed, and have a width from 1 to 99."""
    return not has_braces(BRACES.sub("", pattern))


def texts_of(pattern: str, path: str) -> Texts | None:
    """What stands in a path where the pattern has braces; None for a path that is not named as the pattern says."""
    parts, end = [], 0
    for brace in BRACES.finditer(pattern):
        name = brace["name"] or brace["date"]
        width = brace["width"] or DATE_DIGITS.get(name)
        parts += [_glob(pattern[end : brace.start()]), f"(?P<{name}>[0-9]{f'{{{width}}}' if width else '+'})"]
        end = brace.end()
    match = re.fullmatch("".join([*parts, _glob(pattern[end:])]), path)
    return match.groupdict() if match else None


def fill(pattern: str, texts: Texts) -> str:
    """The pattern with the texts in their braces' places; KeyError for a brace that has none."""
    return BRACES.sub(lambda brace: texts[brace["name"] or brace["date"]], pattern)


def _glob(text: str) -> str:
    return re.escape(text).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
