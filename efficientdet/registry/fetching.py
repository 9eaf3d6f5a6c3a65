"""A version as a bundle in a folder: its entry proves each file, and the registry's database proves the entry."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.bundle import MANIFEST_FILE, read_manifest, write_manifest
from efficientdet.errors import NotRegisteredError, RegistryError, TamperedError
from efficientdet.registry import MODEL_CARD, ModelVersion
from schemas.registry_entry import FILE_NAME, FileSum, RegistryEntry

Copy = Callable[[str, str, Path], None]
"""Brings the stored file of a path and sha256 to a target, verified; TamperedError when it differs."""


def fetch_bundle(version: ModelVersion, copy: Copy, destination: Path, only: Sequence[str] | None) -> None:
    """As Registry.fetch, from wherever `copy` takes the files."""
    destination = Path(destination).absolute()
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise RegistryError(f"{destination}: exists and is not an empty folder; give a new one")
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=destination.parent) as aside:
        folder = Path(aside) / "bundle"
        folder.mkdir()
        copy(FILE_NAME, version.entry, Path(aside) / FILE_NAME)
        files = RegistryEntry.from_json((Path(aside) / FILE_NAME).read_bytes()).files
        copy(MANIFEST_FILE, files[MANIFEST_FILE].sha256, folder / MANIFEST_FILE)
        manifest = read_manifest(folder)
        for path in _wanted(str(version), files, manifest["files"], only):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            copy(path, files[path].sha256, folder / path)
        write_manifest(folder, **{key: value for key, value in manifest.items() if key != "files"})
        folder.replace(destination)


def verify(target: Path, sha256: str, path: str, version: ModelVersion) -> None:
    """Raises TamperedError unless the file has the sum with which it was registered."""
    if FileSum.of(target).sha256 != sha256:
        raise TamperedError(differs(path, str(version)))


def differs(path: str, place: str) -> str:
    """The sentence on a file that is not what was registered."""
    return f"{path} of {place} differs from what was registered (sha256); restore that file or register again"


def _wanted(version: str, files: Iterable[str], bundled: Iterable[str], only: Sequence[str] | None) -> list[str]:
    """The bundle's files, or those in or named by `only` with the label map, config and card that explain them."""
    if only is None:
        return sorted(bundled)
    for item in only:
        if not any(path == item or path.startswith(f"{item}/") for path in files):
            raise NotRegisteredError(f"{version} holds no {item!r}; it holds {', '.join(sorted(files))}")
    chosen = {*only, label_map_file.FILE_NAME, config_file.FILE_NAME, MODEL_CARD}
    return sorted(path for path in files if path in chosen or any(path.startswith(f"{item}/") for item in only))
