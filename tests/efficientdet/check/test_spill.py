from __future__ import annotations

from pathlib import Path

import pytest

from efficientdet.check.spill import Spill
from efficientdet.errors import DataError


def test_texts_are_counted_per_name_and_the_file_goes() -> None:
    with Spill() as spill:
        assert [spill.count("a", text) for text in ("x", "y", "x", "x")] == [1, 1, 2, 3]
        assert spill.count("b", "x") == 1
        assert spill.holds("a", "y")
        assert not spill.holds("b", "y")
        strange = "caf\udce9.jpg"  # a name that is not UTF-8
        assert spill.count("a", strange) == 1
        assert spill.holds("a", strange)
        (file,) = (row[2] for row in spill.db.execute("PRAGMA database_list"))
        assert Path(file).exists()
    assert not Path(file).exists()


def fill(pages: int) -> None:
    """Remembers more than that many pages hold."""
    with Spill() as spill:
        spill.db.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(10_000):
            spill.count("a", f"{number:099d}")


def test_a_full_disk_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"database or disk is full\); make room there, or .* TMPDIR$"):
        fill(pages=8)
