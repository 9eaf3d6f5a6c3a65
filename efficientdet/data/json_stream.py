"""A JSON object of long lists, read entry by entry: the memory is that of its longest entry, not that of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from efficientdet.errors import DataError

LONGEST_ENTRY = 1 << 26
"""Characters. COCO's longest annotation has 40,000."""
CHUNK = 1 << 20
REMEDY = "give a COCO file, as annotations/instances_train2017.json"

_SPACE = re.compile(r"\s*")
_SPACES = ("", " ", "\t", "\n", "\r")
_COMMA = re.compile(r"\s*,\s*(?=\S)")
_SKIPPED = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SCALAR = re.compile(r"[^\s,\]}]+")
# Control characters in strings are tolerated: some tools write tabs and NUL bytes into names.
_decode = json.JSONDecoder(strict=False).raw_decode


class Unreadable:
    """Stands for an entry that is JSON, but nested too deeply or with a number too long to be read."""


def read_lists(path: str | Path, keys: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Every (key, element) of those lists of the file's one object, in file order; the rest is skipped.

    Bytes that are not UTF-8 become surrogate escapes, as they are in names of files. An element that cannot be
    represented is an `Unreadable`. Before a list's elements comes (key, None), once.

    Raises DataError when the file is missing, empty, not JSON, cut off, no object, has something else than a list
    under one of `keys`, or an entry of more than 64 million characters.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape") as file:
            yield from _Stream(path, file).lists(frozenset(keys))
    except OSError as error:
        cause = "not found" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise DataError(f"{path}: annotation file {cause}; {REMEDY}") from error


def read_rest(path: str | Path, lists: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Every member of the file's one object besides those lists, whole, in file order; raises as `read_lists`."""
    with Path(path).open(encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from _Stream(path, file).rest(frozenset(lists))


class _Stream:
    """A window over the text; `at` is where the next token is looked for."""

    def __init__(self, path: str | Path, file: TextIO) -> None:
        self.path, self.file = path, file
        self.text, self.at, self.passed, self.ended = "", 0, 0, False

    def lists(self, keys: frozenset[str]) -> Iterator[tuple[str, Any]]:
        """The elements of those keys of the one object."""
        if not self._peek():
            raise DataError(f"{self.path}: the annotation file is empty; {REMEDY}")
        if self._peek() != "{":
            raise DataError(f"{self.path}: the annotation file holds no JSON object; {REMEDY}")
        for _ in self._members("{", "}"):
            key = self._value()
            self._expect(":")
            if self._peek() == "[":
                wanted = isinstance(key, str) and key in keys
                if wanted:
                    yield key, None
                for _ in self._members("[", "]"):
                    value = self._value()
                    if wanted:
                        yield key, value
            elif key in keys:
                raise DataError(f"{self.path}: the annotation file has no list of {key}; {REMEDY}")
            else:
                self._value()
        if self._peek():
            self._refuse("more text after its end")

    def rest(self, lists: frozenset[str]) -> Iterator[tuple[str, Any]]:
        """The members with other keys."""
        for _ in self._members("{", "}"):
            key = self._value()
            self._expect(":")
            if key in lists:
                for _ in self._members("[", "]"):
                    self._value()
            else:
                yield key, self._value()

    def _members(self, opening: str, closing: str) -> Iterator[None]:
        """Pauses at each member of the list or object that starts here; the caller reads it."""
        self._expect(opening)
        if self._peek() == closing:
            self.at += 1
            return
        while True:
            yield
            if comma := _COMMA.match(self.text, self.at):
                self.at = comma.end()
                continue
            if self._peek() == closing:
                self.at += 1
                return
            self._expect(",")

    def _value(self) -> Any:
        """The value that starts here."""
        if self.text[self.at : self.at + 1] in _SPACES:
            self._peek()
        while True:
            try:
                value, end = _decode(self.text, self.at)
            except json.JSONDecodeError as error:
                if self.ended:
                    self._refuse(error.msg, error.pos)
            except (RecursionError, ValueError):
                return self._skip()
            else:
                # A number may go on in what is not read yet.
                if end < len(self.text) or self.ended:
                    self.at = end
                    return value
            self._fill()

    def _skip(self) -> Unreadable:
        """Goes past the value that starts here without building it."""
        while True:
            if self.text[self.at] not in "[{":
                found = _SCALAR.match(self.text, self.at)
                end = found.end() if found else self.at
            else:
                end = self._closing()
            if self.at < end < len(self.text) or self.ended:
                if end <= self.at:
                    self._refuse("a list or object that does not end")
                self.at = end
                return Unreadable()
            self._fill()

    def _closing(self) -> int:
        """The end of the list or object that starts here; 0 when the window does not hold it."""
        depth = 0
        for token in _SKIPPED.finditer(self.text, self.at):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
            if not depth:
                return token.end()
        return 0

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            self._refuse(f"{character!r} was expected")
        self.at += 1

    def _peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self._fill()

    def _fill(self) -> None:
        """Moves the window on to `at` and makes it longer."""
        rest = len(self.text) - self.at
        if rest > LONGEST_ENTRY:
            self._refuse(f"an entry of more than {LONGEST_ENTRY} characters")
        more = self.file.read(max(CHUNK, rest))
        self.ended = not more
        self.text, self.passed, self.at = self.text[self.at :] + more, self.passed + self.at, 0

    def _refuse(self, cause: str, position: int | None = None) -> None:
        place = self.passed + (self.at if position is None else position)
        raise DataError(f"{self.path}: the annotation file is not JSON ({cause}, character {place}); {REMEDY}")
