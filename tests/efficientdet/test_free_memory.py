"""What is left of a machine's or container's memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from efficientdet import free_memory as free
from efficientdet.free_memory import free_memory, readable


def group(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_a_container_has_what_its_group_allows_and_files_do_not_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(free, "CONTROL_GROUPS", tmp_path)
    group(
        tmp_path,
        memory__max="50000000\n",
        memory__current="45000000\n",
        memory__stat="anon 1\ninactive_file 15000000\n",
    )
    assert free_memory() == 20_000_000
    group(tmp_path, memory__max="max\n")
    assert free_memory() > 50_000_000
    usage = {
        "memory__limit_in_bytes": "9000",
        "memory__usage_in_bytes": "8000",
        "memory__stat": "total_inactive_file 500\n",
    }
    group(tmp_path / "memory", **usage)
    assert free_memory() == 1500


def test_sizes_are_written_as_people_do():
    assert (readable(2_500_000), readable(12_340_000_000)) == ("2 MB", "12.3 GB")
