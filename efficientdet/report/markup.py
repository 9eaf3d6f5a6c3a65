"""HTML that is made of tags, not of strings: all that is not HTML already is escaped, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from efficientdet.errors import printable

LONGEST_TEXT = 1000
"""Characters shown of one text."""
VOID = frozenset({"br", "meta"})


class Html(str):
    """Text that is HTML; only the functions of this module make it."""


def text(value: object, limit: int = LONGEST_TEXT) -> Html:
    """A text or number as HTML that shows it on one line; what cannot be printed stands as escapes."""
    return value if isinstance(value, Html) else Html(escape(printable(str(value), limit)))


def join(*children: Any) -> Html:
    """Its parts one after the other: HTML as it is, texts and numbers escaped, lists flattened, None left out."""
    return Html("".join(_flat(children)))


def tag(name: str, /, *children: Any, **attributes: object) -> Html:
    """An element: `tag("td", 3, class_="n", data_value=3)`.

    Of an attribute's name `_` becomes `-`, and the last is dropped. One that is None or False is left out, and one
    that is True has no value.
    """
    head = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    return Html(f"<{name}{head}>" if name in VOID else f"<{name}{head}>{join(*children)}</{name}>")


def verbatim(source: str) -> Html:
    """Our own CSS or JavaScript; never what a user wrote."""
    return Html(source)


def _flat(children: Iterable[Any]) -> Iterator[Html]:
    for child in children:
        if isinstance(child, str | int | float):
            yield text(child)
        elif child is not None:
            yield from _flat(child)


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    shown = str(value)
    return f" {name}" if value is True else f' {name}="{escape(printable(shown, len(shown)))}"'
