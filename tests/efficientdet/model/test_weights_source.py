"""Archives good and bad, a bucket on TensorFlow's file system in memory, and a real server."""

from __future__ import annotations

import functools
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tensorflow as tf

from efficientdet.errors import ModelError
from efficientdet.model.weights_file import read_weights
from efficientdet.model.weights_source import local_copy


def pack(path: Path, **files: str) -> Path:
    """A gzipped archive; `_` in a keyword stands for `/`."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("_", "/"))
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served at; TensorFlow Hub's cache lies beside it."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def test_a_local_path_is_itself(tmp_path: Path):
    with local_copy(tmp_path / "model.ckpt-7") as path:
        assert path == tmp_path / "model.ckpt-7"


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz"])
def test_an_archive_is_unpacked_and_cleared_away(tmp_path: Path, name: str):
    with local_copy(pack(tmp_path / name, d0_ckpt="text")) as path:
        assert (path / "d0/ckpt").read_text() == "text"
    assert not path.exists()


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/../../escaped"])
def test_nothing_is_written_outside(tmp_path: Path, name: str):
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.addfile(tarfile.TarInfo(name))
    if name.startswith("/"):  # Python's filter makes an absolute name relative
        with local_copy(archive) as path:
            assert [entry.name for entry in path.iterdir()] == ["escaped"]
    else:
        with pytest.raises(ModelError, match=r"evil\.tar\.gz: cannot be unpacked"), local_copy(archive):
            pass
    assert not list(tmp_path.rglob("escaped"))


def test_a_link_to_the_outside_is_refused(tmp_path: Path):
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "../../outside"
    with tarfile.open(tmp_path / "evil.tgz", "w:gz") as packed:
        packed.addfile(link)
    with pytest.raises(ModelError, match="cannot be unpacked"), local_copy(tmp_path / "evil.tgz"):
        pass


@pytest.mark.parametrize("content", ["cut", "empty", "text"])
def test_damaged_archives_are_one_sentence(tmp_path: Path, content: str):
    path = pack(tmp_path / "a.tar.gz", d0_ckpt="text" * 1000)
    path.write_bytes({"cut": path.read_bytes()[:60], "empty": b"", "text": b"hello" * 200}[content])
    with pytest.raises(ModelError, match=r"a\.tar\.gz: cannot be unpacked \(.+\); download it again"), local_copy(path):
        pass


def test_a_bucket_is_copied():
    base = "ram://bucket/models"
    for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-10.index", "sub/file"):
        tf.io.gfile.makedirs(f"{base}/{name}".rpartition("/")[0])
        tf.io.gfile.GFile(f"{base}/{name}", "w").write(name)
    expected = {"ckpt-1.index", "ckpt-1.data-00000-of-00001"}
    for prefix in ("ckpt-1", "ckpt-1.index"):
        with local_copy(f"{base}/{prefix}") as path:
            assert path.name == prefix
            assert {file.name for file in path.parent.iterdir()} == expected
    with local_copy(f"{base}/") as path:
        assert {file.name for file in path.iterdir()} == {*expected, "ckpt-10.index", "sub"}
        assert (path / "sub/file").read_text() == "sub/file"
    with pytest.raises(ModelError, match=r"ram://bucket/models/none: there is nothing"), local_copy(f"{base}/none"):
        pass


def test_a_module_is_downloaded_once(server: tuple[Path, str], tmp_path: Path):
    folder, address = server
    module = tf.Module()
    module.bias = tf.Variable([1.0], name="class_net/class-predict/bias")
    tf.saved_model.save(module, str(tmp_path / "module"))
    with tarfile.open(folder / "module.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "module", ".")
    for _ in range(2):
        assert read_weights(f"{address}/module.tar.gz") == {"class_net/class-predict/bias": [1.0]}
        (folder / "module.tar.gz").unlink(missing_ok=True)
    assert list((tmp_path / "cache").glob("*/saved_model.pb"))


def test_a_failed_download_is_one_sentence(server: tuple[Path, str]):
    folder, address = server
    (folder / "page.tar.gz").write_text("<html>")
    for name in ("none.tar.gz", "page.tar.gz"):
        with (
            pytest.raises(ModelError, match=rf"{name}: cannot be downloaded as a \.tar\.gz \(.+\); check"),
            local_copy(f"{address}/{name}"),
        ):
            pass
