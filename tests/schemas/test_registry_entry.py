from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.registry_entry import FileSum, RegistryEntry, content_hash

# sha256 of the empty file, and of "abc" (FIPS 180-2, appendix B.1)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def entry(**changes: object) -> RegistryEntry:
    values = {
        "name": "digits",
        "created": datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
        "content": ABC,
        "files": {"Format-Serving/saved_model.pb": {"sha256": ABC, "bytes": 3}, "empty": {"sha256": EMPTY, "bytes": 0}},
        "metrics": {"float": {"AP": 0.5, "APs": None}},
        "tags": {"data": "f00"},
    }
    return RegistryEntry.model_validate({**values, **changes})


def test_json_gives_the_entry_back() -> None:
    assert RegistryEntry.from_json(entry().to_json()) == entry()
    assert entry().size == 3


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "", "a\\b"])
def test_paths_outside_the_version_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a path inside the version"):
        entry(files={path: {"sha256": ABC, "bytes": 3}})


@pytest.mark.parametrize("change", [{"format": 2}, {"colour": "red"}, {"content": "abc"}, {"name": ""}])
def test_another_layout_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        entry(**change)


def test_sums(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert FileSum.of(tmp_path / "abc") == FileSum(sha256=ABC, bytes=3)


def test_content_depends_on_paths_and_sums_alone() -> None:
    a, b = FileSum(sha256=ABC, bytes=3), FileSum(sha256=EMPTY, bytes=0)
    assert content_hash({"a": a, "b": b}) == content_hash({"b": b, "a": a})
    assert len({content_hash({"a": a, "b": b}), content_hash({"a": b, "b": a}), content_hash({"a": a})}) == 3


def test_every_key_is_described() -> None:
    properties = RegistryEntry.model_json_schema()["properties"]
    assert all("description" in value for value in properties.values())
