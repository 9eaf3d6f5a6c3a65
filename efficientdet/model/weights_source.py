"""Bringing a checkpoint to the local disk: from the web, from TensorFlow Hub, from a bucket, out of an archive."""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from efficientdet.errors import ModelError

ARCHIVES = (".tar.gz", ".tgz", ".tar")


@contextmanager
def local_copy(source: str | Path) -> Iterator[Path]:
    """A local path of the same content, valid within the block: a file, a folder, or the prefix of a checkpoint.

    Args:
      source: a local path; `https://tfhub.dev/...`, `https://www.kaggle.com/models/...` or another `http(s)://`
        address of a `.tar.gz`, kept in TensorFlow Hub's cache (TFHUB_CACHE_DIR); or a path on a file system that
        TensorFlow knows, such as `gs://`. An archive is unpacked.

    Raises:
      ModelError: nothing is there, or it cannot be fetched or unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="efficientdet-") as scratch:
        path = _fetched(str(source), Path(scratch) / "fetched")
        if path.name.endswith(ARCHIVES) and path.is_file():
            path = _unpacked(path, Path(scratch) / "unpacked", str(source))
        yield path


def _fetched(source: str, folder: Path) -> Path:
    if source.startswith(("http://", "https://")):
        return _downloaded(source)
    return _copied(source, folder) if "://" in source else Path(source)


def _downloaded(url: str) -> Path:
    import tensorflow_hub  # slow, and needed for addresses only

    try:
        return Path(tensorflow_hub.resolve(url))
    except Exception as error:  # URLError, OpError, TarError, RuntimeError: the resolvers promise no types
        raise ModelError(
            f"{url}: cannot be downloaded as a .tar.gz ({_one_line(error)}); check address and network, "
            "or download it yourself and give the path"
        ) from error


def _copied(uri: str, folder: Path) -> Path:
    """Copies a folder, a file or the files of a checkpoint's prefix; returns where the same is in `folder`."""
    base, _, last = uri.rstrip("/").rpartition("/")
    try:
        found = _files(f"{base}/{last}")
        for file in found:
            target = folder / file.removeprefix(base).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            tf.io.gfile.copy(file, str(target), overwrite=True)
    except (tf.errors.OpError, OSError) as error:
        raise ModelError(f"{uri}: cannot be fetched ({_one_line(error)}); check address and credentials") from error
    if not found:
        raise ModelError(f"{uri}: there is nothing; check the address")
    return folder / last


def _files(uri: str) -> list[str]:
    prefix = uri.removesuffix(".index")
    if tf.io.gfile.exists(f"{prefix}.index"):
        return list(tf.io.gfile.glob(f"{prefix}.*"))
    if tf.io.gfile.isdir(uri):
        return [f"{place.rstrip('/')}/{name}" for place, _, names in tf.io.gfile.walk(uri) for name in names]
    return [uri] if tf.io.gfile.exists(uri) else []


def _unpacked(archive: Path, folder: Path, source: str) -> Path:
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")  # refuses whatever would leave the folder
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ModelError(f"{source}: cannot be unpacked ({_one_line(error)}); download it again") from error
    return folder


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
