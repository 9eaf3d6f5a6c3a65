"""Where a local pipeline's metadata are, opened; what is wrong there is told in a sentence."""

from __future__ import annotations

import os
import random
import re
import socket
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ml_metadata.errors import StatusError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from efficientdet.errors import EfficientDetError, reason
from pipeline.config import PipelineConfig
from pipeline.metadata_uri import SQLITE, Database, database
from pipeline.streams import STDERR, led_into

FILE_NAME = "metadata.db"
CONNECT_SECONDS = 10.0
ATTEMPTS = 5


@dataclass(frozen=True)
class Metadata:
    """The metadata of the pipeline in the folder `root`: a sqlite file there, or a database that others share.

    uri: as the setting `metadata` names it.
    """

    root: Path
    uri: str = SQLITE

    @classmethod
    def of(cls, config: PipelineConfig) -> Metadata:
        """Those of a configured pipeline."""
        return cls(Path(config.root), config.metadata)

    @property
    def database(self) -> Database | None:
        """The shared database; None for the file, all of whose entries are of this root."""
        return database(self.uri)

    @property
    def file(self) -> Path:
        """The sqlite file, which is there if nothing is shared."""
        return self.root / FILE_NAME

    @property
    def begun(self) -> bool:
        """Whether there can be any."""
        return self.database is not None or self.file.exists()

    @property
    def connection(self) -> mlmd.ConnectionConfig:
        """How ML Metadata connects; without a password, which the server's library finds in its own places."""
        match self.database:
            case None:
                self.root.mkdir(parents=True, exist_ok=True)
                config = mlmd.SqliteMetadataSourceConfig(
                    filename_uri=str(self.file), connection_mode=mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
                )
                return mlmd.ConnectionConfig(sqlite=config)
            case Database("mysql", user, host, port, name):
                return mlmd.ConnectionConfig(
                    mysql=mlmd.MySQLDatabaseConfig(
                        host=host, port=port, user=user, database=name, skip_db_creation=True
                    )
                )
            case Database(_, user, host, port, name):
                return mlmd.ConnectionConfig(
                    postgresql=mlmd.PostgreSQLDatabaseConfig(
                        host=host, port=str(port), user=user, dbname=name, skip_db_creation=True
                    )
                )

    def open(self) -> MetadataStore:
        """The store; its tables are made the first time.

        Raises:
          EfficientDetError: the file is damaged, or the server cannot be reached or does not let us in.
        """
        if self.database is None:
            return self._open_file()
        _check_answers(self.database)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _quietly_opened(self.connection)
            except _RefusedError as error:
                # Somebody else is making the tables.
                if attempt == ATTEMPTS or "retry" not in str(error).lower():
                    raise EfficientDetError(_sentence(self.database, str(error))) from error
                time.sleep(random.random())
        raise AssertionError

    def _open_file(self) -> MetadataStore:
        try:
            if self.file.exists():
                _check_pages(self.file)
            return MetadataStore(self.connection)
        except (sqlite3.DatabaseError, StatusError, RuntimeError) as error:
            raise EfficientDetError(
                f"{self.file}: is damaged, or no database of ours ({_brief(error)}); put a copy of it back, or move it "
                "away to begin without cache and history (artifacts and registry stay)"
            ) from error


class _RefusedError(Exception):
    """What a server or its library said."""


def _quietly_opened(connection: mlmd.ConnectionConfig) -> MetadataStore:
    """Raises _RefusedError with what the native library writes to the screen, where alone it tells the cause."""
    with tempfile.TemporaryFile() as said:
        try:
            with led_into(said, STDERR):
                return MetadataStore(connection)
        except (StatusError, RuntimeError) as error:
            said.seek(0)
            raise _RefusedError(f"{error}\n{said.read().decode(errors='replace')}") from error


def _check_answers(server: Database) -> None:
    try:
        with socket.create_connection((server.host, server.port), CONNECT_SECONDS):
            pass
    except OSError as error:
        raise EfficientDetError(
            f"{server}: nobody answers there ({error.strerror or error}); start the server, or correct `metadata`"
        ) from error


def _sentence(server: Database, said: str) -> str:
    """What to do about a refusal."""
    variable = f"{server.password} is {'set' if server.password in os.environ else 'not set'}"
    if re.search(r"unknown database|database .* does not exist|denied .* to database|permission denied", said, re.I):
        # Since PostgreSQL 15 all rights on a database are not enough to make tables in it.
        rights = f"all rights for {server.user}" if server.engine == "mysql" else f"{server.user} as its owner"
        return f"{server}: has no database {server.name} that {server.user} may use; create it with {rights}"
    # Of all that fails while connecting MySQL's library tells nothing.
    if re.search(r"password|authentication|no pg_hba|mysql_real_connect failed", said, re.IGNORECASE):
        plugin = " or an authentication other than mysql_native_password" if server.engine == "mysql" else ""
        return f"{server}: does not let {server.user} in, by a wrong password ({variable}){plugin}; correct it"
    found = re.search(r"error: *(\S.*)", said)
    return f"{server}: cannot be used ({(found[1] if found else said.strip())[:200]}); mend it, or correct `metadata`"


def _check_pages(file: Path) -> None:
    """Raises sqlite3.DatabaseError for a file that is damaged anywhere."""
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                return  # somebody writes to it
            raise
    if found != "ok":
        raise sqlite3.DatabaseError(found.splitlines()[-1])


def _brief(error: Exception) -> str:
    return reason(error).partition(" query: ")[0].removeprefix("Error when executing query: ")
