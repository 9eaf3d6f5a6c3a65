"""MariaDB and PostgreSQL as they are in Debian, each started for the tests in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.free_port import free_port

USER, PASSWORD, DATABASE = "mlmd", "se'cr\"e\\t pässword", "team"
START_SECONDS = 60.0


class DatabaseServer(NamedTuple):
    """A server that runs, with an empty database."""

    engine: str
    port: int

    @property
    def uri(self) -> str:
        """The database, as the setting `metadata` names it."""
        return f"{self.engine}://{USER}@127.0.0.1:{self.port}/{DATABASE}"


@contextmanager
def mysql() -> Iterator[DatabaseServer]:
    """A MariaDB server."""
    server, install, client = (_program(name) for name in ("mariadbd", "mariadb-install-db", "mariadb"))
    quoted = PASSWORD.replace("\\", "\\\\").replace("'", "''")
    sql = (
        f"CREATE USER {USER} IDENTIFIED BY '{quoted}'; CREATE DATABASE {DATABASE}; GRANT ALL ON {DATABASE}.* TO {USER};"
    )
    with _folder() as folder:
        data, port = f"--datadir={folder}/data", free_port()
        _call([install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"], folder)
        words = [server, "--no-defaults", data, f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
        words += [f"--socket={folder}/socket", f"--pid-file={folder}/pid", "--innodb-flush-log-at-trx-commit=0"]
        root = [client, "--no-defaults", "--user=root", f"--socket={folder}/socket", "--execute"]
        with _running(words, folder, ready=[*root, "SELECT 1"]):
            _call([*root, sql], folder)
            yield DatabaseServer("mysql", port)


@contextmanager
def postgresql() -> Iterator[DatabaseServer]:
    """A PostgreSQL server."""
    server, init, client = (_program(name) for name in ("postgres", "initdb", "psql"))
    with _folder() as folder:
        (folder / "password").write_text(PASSWORD)
        port, data = free_port(), str(folder / "data")
        password = ["--auth=scram-sha-256", f"--pwfile={folder}/password"]
        _call(
            [init, "--pgdata", data, f"--username={USER}", *password, "--no-sync", "--no-locale", "--encoding=UTF8"],
            folder,
        )
        words = [server, "-D", data, "-p", str(port), "-F"]
        words += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
        sql = [client, f"--host={folder}", f"--port={port}", f"--username={USER}", "--dbname=postgres", "--command"]
        with _running(words, folder, ready=[*sql, "SELECT 1"]):
            _call([*sql, f"CREATE DATABASE {DATABASE}"], folder)
            yield DatabaseServer("postgresql", port)


SERVERS: dict[str, Callable[[], Any]] = {"mysql": mysql, "postgresql": postgresql}


def _program(name: str) -> str:
    folders = [os.environ.get("PATH", ""), "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        pytest.skip(f"{name} is not installed; apt-get install mariadb-server postgresql")
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the account of the servers may use; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="database-") as name:
        if os.getuid() == 0:
            shutil.chown(name, **_account())
        yield Path(name)


def _account() -> dict[str, Any]:
    """Both servers refuse to run as root."""
    return {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}


def _call(words: Sequence[str], folder: Path) -> None:
    done = _started(words, folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = done.communicate()
    assert done.returncode == 0, said.decode(errors="replace")


@contextmanager
def _running(words: Sequence[str], folder: Path, ready: Sequence[str]) -> Iterator[None]:
    with (folder / "server.log").open("wb") as log:
        server = _started(words, folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while _started(ready, folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait():
            assert server.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait()


def _started(words: Sequence[str], folder: Path, **streams: Any) -> subprocess.Popen[bytes]:
    account = {**_account(), "extra_groups": []} if os.getuid() == 0 else {}
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    return subprocess.Popen(words, cwd=folder, env=environment, **account, **streams)
