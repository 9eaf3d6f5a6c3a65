"""Real containers, by podman; what this machine needs of its own for them comes from the environment.

EFFICIENTDET_BASE_IMAGE: image with Python 3.11 to build upon, where Docker's registry cannot be reached.
EFFICIENTDET_BUILD_OPTIONS: further words of `podman build`, as --isolation, --secret and --volume.
CONTAINERS_CONF: podman's settings; containers.conf beside this file unless it is set.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

BASE = os.environ.get("EFFICIENTDET_BASE_IMAGE", "docker.io/library/python:3.11-slim")
BUILD_OPTIONS = shlex.split(os.environ.get("EFFICIENTDET_BUILD_OPTIONS", ""))
ENVIRONMENT = {"CONTAINERS_CONF": str(Path(__file__).with_name("containers.conf"))} | os.environ


def missing() -> str | None:
    """Why no image can be built here; None where one can."""
    if not shutil.which("podman"):
        return "needs podman"
    if _podman("image", "exists", BASE).returncode and (pulled := _podman("pull", BASE)).returncode:
        return f"{BASE} cannot be pulled ({pulled.stderr.strip().splitlines()[-1]}); see CONTRIBUTING.md"
    return None


def build(words: Sequence[str], log: IO[str]) -> None:
    """Runs the words of a build, `podman build ...`, with this machine's options."""
    command = [*words[:2], *BUILD_OPTIONS, *words[2:]]
    subprocess.run(command, env=ENVIRONMENT, stdout=log, stderr=subprocess.STDOUT, check=True)


def run(image: str, words: Sequence[str], *, mounts: Sequence[str] = (), log: IO[str] | None = None) -> int:
    """The exit code of a command in a new container of an image: without network, with folders under their own path."""
    entrypoint, *arguments = words
    volumes = [f"--volume={folder}:{folder}" for folder in mounts]
    command = ["run", "--rm", "--network=none", *volumes, f"--entrypoint={json.dumps([entrypoint])}", image]
    return subprocess.run(
        ["podman", *command, *arguments], env=ENVIRONMENT, stdout=log, stderr=log, check=False
    ).returncode


def output(image: str, *words: str) -> str:
    """What a command prints in such a container."""
    ran = _podman("run", "--rm", "--network=none", image, *words)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def layers(image: str) -> list[str]:
    """The digests of an image's layers, the lowest first."""
    told: list[str] = json.loads(_podman("image", "inspect", image).stdout)[0]["RootFS"]["Layers"]
    return told


def _podman(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *words], env=ENVIRONMENT, capture_output=True, text=True, check=False)
