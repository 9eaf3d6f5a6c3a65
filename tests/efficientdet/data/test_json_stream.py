"""JSON read entry by entry: what json.loads would give, in the memory of one entry."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.data import json_stream
from efficientdet.data.json_stream import MOST_LEVELS, Unreadable, read_list, read_lists, read_rest
from efficientdet.errors import DataError

JSON: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner | st.none(), max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from(["images", "annotations", "info", "ä"]), st.lists(JSON, max_size=5))


def read(path: Path, *keys: str) -> list[Any]:
    """The elements of the lists, without what announces each list."""
    return [value for _, value in read_lists(path, keys) if value is not None]


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return path


@settings(deadline=None)
@given(document=DOCUMENTS, ascii_only=st.booleans(), indent=st.none() | st.integers(0, 3), window=st.integers(1, 30))
def test_every_window_gives_what_the_whole_text_holds(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], ascii_only: bool, indent: int, window: int
) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    path = written(tmp_path_factory.mktemp("json") / "a.json", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", window)
        found: dict[str, list[Any]] = {}
        for key, value in read_lists(path, ["images", "annotations"]):
            found.setdefault(key, []).extend([] if value is None else [value])
    assert found == {key: values for key, values in document.items() if key in ("images", "annotations")}


@pytest.mark.parametrize("number", ["1.5", "1e+5", "-2E-3", "12", "-Infinity", "1e400"])
def test_a_number_is_not_cut_where_a_window_ends(tmp_path: Path, number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.json", f'{{"a": [{number}, {number}]}}')
    for window in range(1, 20):
        monkeypatch.setattr(json_stream, "CHUNK", window)
        assert read(path, "a") == [json.loads(number)] * 2


@pytest.mark.parametrize("window", [7, 1 << 20])
@pytest.mark.parametrize(
    "entry",
    [
        "null",
        "1" * 5000,
        '{"id": ' + "1" * 5000 + "}",
        "[" * 100_000 + "]" * 100_000,
        "[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1),
        '{"a":' * 200 + '"}]]}\\"' + "]" * 99 + '"' + "}" * 200,
    ],
)
def test_what_cannot_be_represented_is_passed_over(
    tmp_path: Path, entry: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", window)
    before, bad, after = read(written(tmp_path / "a.json", f'{{"a": [1, {entry}, {{"b": 2}}]}}'), "a")
    assert (before, type(bad), after) == (1, Unreadable, {"b": 2})


def test_as_many_levels_as_allowed_are_read(tmp_path: Path) -> None:
    entry = "[" * MOST_LEVELS + "]" * MOST_LEVELS
    assert read(written(tmp_path / "a.json", f'{{"a": [{entry}]}}'), "a") == [json.loads(entry)]
    broad = [[] for _ in range(1000)]
    assert read(written(tmp_path / "a.json", json.dumps({"a": [broad]})), "a") == [broad]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b"\n \t", "is empty"),
        (b"[]", "holds no JSON object"),
        (b"\xff\xfe{\0}\0", "holds no JSON object"),
        (b"\x89PNG\r\n\x1a\n", "holds no JSON object"),
        (b"{", "is not JSON"),
        (b'{"a": [1', "is not JSON"),
        (b'{"a": [1,', "is not JSON"),
        (b'{"a": [1,]}', "is not JSON"),
        (b'{"a": ["x', "Unterminated string"),
        (b'{"a": [' + b"[" * 100_000, "does not end"),
        (b'{"a": [1]} {}', "more text after its end"),
        (b'{"a": [1] "b": 2}', "',' was expected"),
        (b"{[]: 1}", "a key that is no text"),
        (b"{5: 1}", "a key that is no text"),
        (b'{"a" [1]}', "':' was expected"),
        (b'{"a": [1,\0]}', "is not JSON"),
        (b'{"a": {}}', "has no list of a"),
        (b'{"a": null}', "has no list of a"),
    ],
)
def test_what_is_no_such_object_is_one_sentence(tmp_path: Path, text: bytes, words: str) -> None:
    path = written(tmp_path / "a.json", text)
    with pytest.raises(DataError, match=words) as error:
        read(path, "a")
    assert str(error.value).startswith(f"{path}: the annotation file ")
    assert "\n" not in str(error.value)


def test_an_error_is_found_where_it_is_and_not_where_the_window_ends(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", '{"a": [1, oops, ' + "1, " * 2_000_000)
    with pytest.raises(DataError, match=r"Expecting value, character 10\)"):
        read(path, "a")


def test_an_entry_without_an_end_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "LONGEST_ENTRY", 1 << 20)
    path = written(tmp_path / "a.json", '{"a": ["' + "x" * (1 << 24))
    tracemalloc.start()
    with pytest.raises(DataError, match="an entry of more than 1048576 characters"):
        read(path, "a")
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_the_memory_is_that_of_an_entry(tmp_path: Path) -> None:
    path, entry = tmp_path / "a.json", json.dumps({"id": 5, "segmentation": "x" * 20_000})
    with path.open("w") as file:
        file.write('{"info": [[1]], "a": [1')
        file.writelines(f", {entry}" for _ in range(2000))
        file.write("]}")
    tracemalloc.start()
    assert sum(1 for _ in read_lists(path, ["a"])) == 2002
    assert 4 * tracemalloc.get_traced_memory()[1] < path.stat().st_size
    tracemalloc.stop()


def test_odd_text_is_tolerated(tmp_path: Path) -> None:
    """A byte order mark, bytes that are no UTF-8, NUL and tabs in strings, a key that comes twice."""
    text = b'\xef\xbb\xbf{"a": ["caf\xe9", "\0\t"], "b": {}, "a": [NaN]}'
    path = written(tmp_path / "a.json", text)
    *names, number = read(path, "a")
    assert names == ["caf\udce9", "\0\t"]
    assert number != number


def test_a_missing_file_and_one_that_is_none_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.json: annotation file not found"):
        read(tmp_path / "a.json", "a")
    with pytest.raises(DataError, match="is not a regular file"):
        read(tmp_path, "a")


@settings(deadline=None)
@given(document=st.dictionaries(st.sampled_from(["images", "info", "licenses", "ä"]), JSON, max_size=4))
def test_the_rest_is_everything_but_the_lists(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    document["images"] = [document.get("images"), [1, {"a": []}]]
    path = written(tmp_path_factory.mktemp("json") / "a.json", json.dumps(document))
    rest = {key: list(value) if isinstance(value, Iterator) else value for key, value in read_rest(path, ["images"])}
    assert rest == {key: value for key, value in document.items() if key != "images"}
    assert [key for key, _ in read_rest(path, ["images"])] == list(rest), "elements may be passed over"


@settings(deadline=None)
@given(elements=st.lists(JSON), indent=st.none() | st.integers(0, 2), window=st.integers(1, 30))
def test_a_file_may_be_one_list(
    tmp_path_factory: pytest.TempPathFactory, elements: list[Any], indent: int | None, window: int
) -> None:
    path = written(tmp_path_factory.mktemp("json") / "a.json", json.dumps(elements, indent=indent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", window)
        assert list(read_list(path, "file", "mend it")) == elements


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the result file is empty; mend it"),
        ("{}", "the result file holds no JSON list; mend it"),
        ("[1, 2", r"the result file is not JSON \(',' was expected, character 5\); mend it"),
        ("[1] 2", r"the result file is not JSON \(more text after its end, character 4\)"),
    ],
)
def test_what_is_no_list_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError, match=rf"a\.json: {says}"):
        list(read_list(written(tmp_path / "a.json", text), "result file", "mend it"))
