"""The cache of fetched files, by itself."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest

from efficientdet.registry.blob_cache import BlobCache
from tests.efficientdet.registry.child import exit_code, in_child

CONTENT = b"weights" * 1000
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlobCache:
    monkeypatch.setenv("EFFICIENTDET_CACHE", str(tmp_path / "cache"))
    return BlobCache.of_user()


class Server:
    """Appends what a partial file lacks of CONTENT; counts its bytes."""

    def __init__(self, content: bytes = CONTENT, breaks_at: int | None = None) -> None:
        self.content, self.breaks_at, self.sent = content, breaks_at, 0

    def __call__(self, partial: Path) -> None:
        held = partial.stat().st_size
        rest = self.content[held : self.breaks_at]
        self.sent += len(rest)
        with partial.open("ab") as file:
            file.write(rest)
        if self.breaks_at is not None:
            raise ConnectionError("broke off")


def test_a_file_is_downloaded_once(cache: BlobCache, tmp_path: Path) -> None:
    server = Server()
    for target in (tmp_path / "a", tmp_path / "b"):
        assert cache.copy(SUM, target, server)
        assert target.read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_what_broke_off_goes_on(cache: BlobCache, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        cache.copy(SUM, tmp_path / "a", Server(breaks_at=3000))
    server = Server()
    assert cache.copy(SUM, tmp_path / "a", server)
    assert server.sent == len(CONTENT) - 3000
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_beginning_of_something_else_is_thrown_away(cache: BlobCache, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        cache.copy(SUM, tmp_path / "a", Server(b"?" * 5000, breaks_at=3000))
    assert cache.copy(SUM, tmp_path / "a", Server())
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_another_content_is_never_given_nor_kept(cache: BlobCache, tmp_path: Path) -> None:
    assert not cache.copy(SUM, tmp_path / "a", Server(CONTENT + b" "))
    assert not (tmp_path / "a").exists()
    assert cache.copy(SUM, tmp_path / "a", Server())


def test_a_cached_file_that_changed_is_fetched_again(cache: BlobCache, tmp_path: Path) -> None:
    cache.copy(SUM, tmp_path / "a", Server())
    [blob] = [path for path in (cache.folder / "sha256").rglob("*") if path.is_file()]
    blob.write_bytes(b"?" + CONTENT[1:])
    server = Server()
    assert cache.copy(SUM, tmp_path / "b", server)
    assert (tmp_path / "b").read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_killed_in_the_midst_the_rest_comes_next_time(cache: BlobCache, tmp_path: Path) -> None:
    def download(partial: Path) -> None:
        partial.write_bytes(CONTENT[:3000])
        os.kill(os.getpid(), signal.SIGKILL)

    assert exit_code(in_child(lambda: cache.copy(SUM, tmp_path / "a", download))) == -signal.SIGKILL
    server = Server()
    assert cache.copy(SUM, tmp_path / "a", server)
    assert server.sent == len(CONTENT) - 3000


def test_six_at_once_download_it_once(cache: BlobCache, tmp_path: Path) -> None:
    def work(number: int) -> None:
        server = Server()
        assert cache.copy(SUM, tmp_path / str(number), server)
        (tmp_path / f"sent-{number}").write_text(str(server.sent))

    children = [in_child(lambda number=number: work(number)) for number in range(6)]
    assert [exit_code(child) for child in children] == [0] * 6
    assert sum(int((tmp_path / f"sent-{number}").read_text()) for number in range(6)) == len(CONTENT)
    assert all((tmp_path / str(number)).read_bytes() == CONTENT for number in range(6))


def test_where_there_can_be_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("EFFICIENTDET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OSError, match="Not a directory"):
        BlobCache.of_user()
