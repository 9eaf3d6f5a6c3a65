"""A JSON object of long lists, or one long list, read entry by entry: the memory is that of its longest entry."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from efficientdet.errors import DataError

LONGEST_ENTRY = 1 << 24
"""Characters. COCO's longest annotation has 40,000."""
MOST_LEVELS = 100
"""Of lists and objects in each other; a fixed number, as Python's own limit goes with where it is called from."""
CHUNK = 1 << 20
REMEDY = "give a COCO file, as annotations/instances_train2017.json"

_SPACE = re.compile(r"\s*")
_SPACES = ("", " ", "\t", "\n", "\r")
_COMMA = re.compile(r"\s*,\s*(?=\S)")
# The end of the window ends a string, too: what stands in it is no bracket.
_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_LONGEST_WORD = len("-Infinity")
_SCALAR = re.compile(r"[^\s,\]}]+")
# Control characters in strings are tolerated: some tools write tabs and NUL bytes into names.
_decode = json.JSONDecoder(strict=False).raw_decode


class Unreadable:
    """Stands for an entry that is null, nested too deeply, or has a number too long to be read."""


def read_lists(path: str | Path, keys: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Every (key, element) of those lists of the file's one object, in file order; the rest is skipped.

    Bytes that are not UTF-8 become surrogate escapes, as they are in names of files. An element that is null or
    cannot be represented is an `Unreadable`. Before a list's elements comes (key, None); a key may come twice.

    Raises DataError when the file is missing, no regular file, empty, not JSON, cut off, no object, has something else
    than a list under one of `keys`, or an entry of more than 16 million characters.
    """
    with _opened(path, "annotation file", REMEDY) as stream:
        yield from stream.lists(frozenset(keys))


def read_list(path: str | Path, what: str, remedy: str) -> Iterator[Any]:
    """Every element of the one list that the file is; an `Unreadable` as in `read_lists`.

    Raises DataError when the file is missing, no regular file, empty, not JSON, cut off, no list, or has an entry of
    more than 16 million characters; `what` names such a file in the sentence, which ends with `remedy`.
    """
    with _opened(path, what, remedy) as stream:
        yield from stream.elements()


def read_rest(path: str | Path, lists: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Every member of the file's one object besides those lists, in file order; of a list an iterator of its elements.

    An iterator is to be used up before the next member is asked for. Raises as `read_lists`.
    """
    with _opened(path, "annotation file", REMEDY) as stream:
        yield from stream.rest(frozenset(lists))


@contextmanager
def _opened(path: str | Path, what: str, remedy: str) -> Iterator[_Stream]:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise DataError(f"{path}: is not a regular file; {remedy}")
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape") as file:
            yield _Stream(path, file, what, remedy)
    except OSError as error:
        cause = "not found" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise DataError(f"{path}: {what} {cause}; {remedy}") from error


class _Stream:
    """A window over the text; `at` is where the next token is looked for."""

    def __init__(self, path: str | Path, file: TextIO, what: str, remedy: str) -> None:
        self.path, self.file, self.what, self.remedy = path, file, what, remedy
        self.text, self.at, self.passed, self.ended = "", 0, 0, False

    def lists(self, keys: frozenset[str]) -> Iterator[tuple[str, Any]]:
        """The elements of those keys of the one object."""
        self._start("{", "object")
        for _ in self._members("{", "}"):
            key = self._value()
            if not isinstance(key, str):
                self._refuse("a key that is no text")
            self._expect(":")
            if self._peek() == "[":
                wanted = key in keys
                if wanted:
                    yield key, None
                for _ in self._members("[", "]"):
                    value = self._value()
                    if wanted:
                        yield key, Unreadable() if value is None else value
            elif key in keys:
                raise DataError(f"{self.path}: the {self.what} has no list of {key}; {self.remedy}")
            else:
                self._value()
        if self._peek():
            self._refuse("more text after its end")

    def elements(self) -> Iterator[Any]:
        """Those of the one list."""
        self._start("[", "list")
        for _ in self._members("[", "]"):
            value = self._value()
            yield Unreadable() if value is None else value
        if self._peek():
            self._refuse("more text after its end")

    def rest(self, lists: frozenset[str]) -> Iterator[tuple[str, Any]]:
        """The members with other keys; see `read_rest`."""
        for _ in self._members("{", "}"):
            key = self._value()
            self._expect(":")
            if self._peek() != "[":
                yield key, self._value()
                continue
            elements = (self._value() for _ in self._members("[", "]"))
            if key not in lists:
                yield key, elements
            for _ in elements:
                pass

    def _start(self, opening: str, kind: str) -> None:
        """Raises DataError unless the file begins so."""
        if not self._peek():
            raise DataError(f"{self.path}: the {self.what} is empty; {self.remedy}")
        if self._peek() != opening:
            raise DataError(f"{self.path}: the {self.what} holds no JSON {kind}; {self.remedy}")

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
                cut_off = error.pos > len(self.text) - _LONGEST_WORD or error.msg.startswith("Unterminated string")
                if self.ended or not cut_off:
                    self._refuse(error.msg, error.pos)
            except (RecursionError, ValueError):
                return self._skip()
            else:
                # A number may go on in what is not read yet: what looks like its end can be the start of `.5` or `e+5`.
                if end + len("e+") < len(self.text) or self.ended:
                    start, self.at = self.at, end
                    return Unreadable() if self._is_deep(start, end) else value
            self._fill()

    def _skip(self) -> Unreadable:
        """Goes past the value that starts here without building it."""
        while True:
            if self.text[self.at] not in "[{":
                found = _SCALAR.match(self.text, self.at)
                end = found.end() if found else self.at
            else:
                end, _ = self._closing(self.at)
            if self.at < end < len(self.text) or self.ended:
                if end <= self.at:
                    self._refuse("a list or object that does not end")
                self.at = end
                return Unreadable()
            self._fill()

    def _is_deep(self, start: int, end: int) -> bool:
        """Whether that value has more than MOST_LEVELS levels."""
        brackets = self.text.count("[", start, end) + self.text.count("{", start, end)
        return brackets > MOST_LEVELS and self._closing(start)[1] > MOST_LEVELS

    def _closing(self, start: int) -> tuple[int, int]:
        """The end and the levels of the list or object that starts there; an end of 0 when the window lacks it."""
        depth = deepest = 0
        for token in _BRACKET.finditer(self.text, start):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
            deepest = max(deepest, depth)
            if not depth:
                return token.end(), deepest
        return 0, deepest

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

    def _refuse(self, cause: str, position: int | None = None) -> NoReturn:
        place = self.passed + (self.at if position is None else position)
        raise DataError(f"{self.path}: the {self.what} is not JSON ({cause}, character {place}); {self.remedy}")
