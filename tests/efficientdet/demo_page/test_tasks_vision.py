"""tasks-vision is fetched by npm once, and only the version that was tested."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from efficientdet.demo_page.tasks_vision import FILES, PACKAGE, VERSION, tasks_vision
from efficientdet.errors import ModelError


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as npm gives it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm here")
    folder = tmp_path_factory.mktemp("npm")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {PACKAGE}: {done.stderr[-300:]}")
    [found] = folder.glob("*.tgz")
    return found


def test_a_given_package_is_kept_and_not_needed_again(tarball: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tasks_vision(tarball)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == sorted(FILES)
    assert (folder / FILES[2]).read_bytes()[:4] == b"\0asm"
    monkeypatch.setenv("PATH", "")
    assert tasks_vision() == folder
    assert [path.name for path in (tmp_path / "efficientdet").iterdir()] == [folder.name]


def test_npm_fetches_it(tarball: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert (tasks_vision() / FILES[0]).stat().st_size > 100_000


def test_another_package_is_refused_and_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "other.tgz").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"other\.tgz: is not @mediapipe/tasks-vision 1\.1\.0 \(its sha512 differs\)"):
        tasks_vision(tmp_path / "other.tgz")
    assert not list((tmp_path / "cache/efficientdet").iterdir())


def test_without_npm_there_is_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ModelError, match=r"npm, which fetches it, is not installed; .* --tasks-vision"):
        tasks_vision()
