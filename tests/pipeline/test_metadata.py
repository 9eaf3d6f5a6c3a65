"""A file of metadata that is damaged anywhere is told so; what databases refuse is in test_shared_metadata.py."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from efficientdet.errors import EfficientDetError
from pipeline.metadata import Metadata


@pytest.fixture
def metadata(tmp_path) -> Metadata:
    made = Metadata(tmp_path)
    made.open()
    return made


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE MLMDEnv SET schema_version = 99")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(b"no database" * 1000), "file is not a database"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "malformed"),
        (lambda path: path.write_bytes(path.read_bytes()[:8192] + bytes(20000) + path.read_bytes()[28192:]), "Page 3"),
        (lambda path: (path.unlink(), path.mkdir()), "disk I/O error|unable to open"),
        (newer, "version 99 is greater"),
    ],
    ids=["other", "cut", "hole", "folder", "newer"],
)
def test_damage_is_told_with_the_remedy(metadata, damage, says):
    damage(metadata.file)
    sentence = rf"metadata\.db: is damaged, or no database of ours \(.*({says}).*put a copy of it back, or move it away"
    with pytest.raises(EfficientDetError, match=sentence) as told:
        metadata.open()
    assert "\n" not in str(told.value)


def test_a_file_that_somebody_writes_to_is_opened(metadata):
    with sqlite3.connect(metadata.file) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert metadata.open().get_contexts() == []
