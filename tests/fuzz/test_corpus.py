"""Every input that ever broke a parser, and the seeds beside them, once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from .laws import LAWS, make_folder

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file() and path.suffix != ".dict")


@pytest.mark.parametrize("path", INPUTS, ids=[f"{path.parent.name}-{path.name}" for path in INPUTS])
def test_no_input_breaks_a_law(path: Path, tmp_path: Path) -> None:
    LAWS[path.parent.name](path.read_bytes(), make_folder(tmp_path))


@pytest.mark.parametrize("form", LAWS)
def test_the_sound_seed_is_kept_whole(form: str, tmp_path: Path) -> None:
    """Else the laws would hold for want of anything to admit."""
    [seed] = (CORPUS / form).glob("sound.*")
    ledger = LAWS[form](seed.read_bytes(), make_folder(tmp_path))
    assert ledger is not None
    assert (ledger.images.kept, ledger.boxes.kept, ledger.findings) == (1, 2, [])
