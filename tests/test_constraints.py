"""The environment is the locked one."""

from __future__ import annotations

import re
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
# The installer itself comes with the virtual environment; the product is what the pins are for.
UNPINNED = {"pip", "efficientdet-pipeline"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_installed_set_equals_the_pins():
    pins = dict(line.split("==") for line in CONSTRAINTS.read_text().split())
    pinned = {canonical(name): version for name, version in pins.items()}
    # One folder only: setuptools puts copies of its own needs on the path when it is imported.
    folder = sysconfig.get_path("purelib")
    installed = {canonical(d.metadata["Name"]): d.version for d in distributions(path=[folder])}
    assert {name: version for name, version in installed.items() if name not in UNPINNED} == pinned
