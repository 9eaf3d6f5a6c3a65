"""What is hidden is not imported, is there afterwards, and is all that is hidden."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from efficientdet import lean_imports as module
from efficientdet.lean_imports import lean_imports


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lean_loaded` and `lean_other` can be imported; both are hidden, and the first is loaded before."""
    for name in ("lean_loaded", "lean_other"):
        (tmp_path / f"{name}.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "UNUSED", ("lean_loaded", "lean_other"))
    importlib.import_module("lean_loaded")


@pytest.mark.usefixtures("packages")
def test_hidden_within_alone_and_what_is_loaded_stays() -> None:
    loaded = sys.modules["lean_loaded"]
    with lean_imports():
        assert importlib.import_module("lean_loaded") is loaded
        with pytest.raises(ModuleNotFoundError, match="lean_other"):
            importlib.import_module("lean_other")
    assert importlib.import_module("lean_loaded") is loaded
    assert importlib.import_module("lean_other").__file__


@pytest.mark.usefixtures("packages")
def test_an_error_within_hides_nothing_for_ever() -> None:
    with pytest.raises(ZeroDivisionError), lean_imports():
        _ = 1 / 0
    assert "lean_other" not in sys.modules
