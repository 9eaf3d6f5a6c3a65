"""Whoever reads a file that is written here finds a whole one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from efficientdet.atomic_file import atomic_file, write_file, write_json

WRITER = """
import sys
from efficientdet.atomic_file import write_file
for _ in range(300):
    write_file(sys.argv[1], sys.argv[2] * 300_000)
"""


def test_processes_that_write_the_same_file_do_not_hurt_each_other(tmp_path: Path) -> None:
    path, seen = tmp_path / "made" / "by.txt", set()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, letter], stderr=subprocess.PIPE, text=True)
        for letter in "abc"
    ]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            text = path.read_text()
            assert text == text[0] * 300_000
            seen.add(text[0])
    assert [writer.communicate()[1] for writer in writers] == ["", "", ""]
    assert len(seen) > 1, "they did write at the same time"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path / "kept.txt", "as it was")
    with pytest.raises(UnicodeEncodeError), atomic_file(path) as aside, aside.open("w", encoding="ascii") as file:
        file.writelines(["half", "\ud800"])
    with pytest.raises(UnicodeEncodeError):
        write_file(path, "\ud800")
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_is_what_was_given(tmp_path: Path) -> None:
    assert write_file(tmp_path / "bytes", b"\xff\x00").read_bytes() == b"\xff\x00"
    assert write_file(tmp_path / "text", "übel\n").read_bytes() == "übel\n".encode()
    content = {"class": "Käfer", "boxes": [1.5, None]}
    path = write_json(tmp_path / "json", content)
    assert json.loads(path.read_text(encoding="utf-8")) == content
    assert "Käfer" in path.read_text(encoding="utf-8")


def test_others_may_read_it_as_any_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    assert write_file(tmp_path / "ours", "").stat().st_mode == plain.stat().st_mode
