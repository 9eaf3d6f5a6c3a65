"""The commit, from git itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from efficientdet import commit


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository that tracks a copy of the module."""
    if not shutil.which("git"):
        pytest.skip("needs git")
    (tmp_path / "code/package").mkdir(parents=True)
    shutil.copy(commit.__file__, tmp_path / "code/package/commit.py")
    git(tmp_path / "code", "init", "-q")
    git(tmp_path / "code", "add", ".")
    git(tmp_path / "code", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    return tmp_path / "code"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True).stdout


def told(package: Path, **environment: str) -> str:
    """What the module of that folder says."""
    command = [sys.executable, "-c", "import commit; print(commit.code_commit())"]
    return subprocess.run(
        command, cwd=package, env={"PATH": "/usr/bin:/bin", **environment}, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_checkout_knows_its_commit_and_whether_it_was_changed(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD").strip()
    assert told(checkout / "package") == head
    with (checkout / "package/commit.py").open("a") as file:
        file.write("# changed\n")
    assert told(checkout / "package") == f"{head}-dirty"


def test_an_installed_copy_has_none_of_its_own(checkout: Path) -> None:
    shutil.copytree(checkout / "package", checkout / "site-packages")
    assert told(checkout / "site-packages") == ""
    assert told(checkout / "site-packages", EFFICIENTDET_COMMIT="c0ffee") == "c0ffee"
    assert told(checkout / "package", PATH="/nowhere") == ""
