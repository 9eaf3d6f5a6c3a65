"""Reaching MLflow: which client serves a registry address, and how a local registry comes into being."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from efficientdet.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE_FILE = "mlflow.db"
ARTIFACTS_FOLDER = "artifacts"
EXPERIMENT = "efficientdet"
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own 7 would keep the user of a server that went down waiting for four minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
}


@dataclass(frozen=True)
class Location:
    """Where a registry is: an MLflow server, or a sqlite database with its files in `artifacts` beside it."""

    uri: str
    database: Path | None

    @classmethod
    def parse(cls, uri: str) -> Location:
        """From `http(s)://…`, `sqlite:////abs/path/registry.db` or the path of a folder; else RegistryError."""
        scheme, separator, path = uri.partition("://")
        if scheme in ("http", "https") and separator and path:
            return cls(uri.rstrip("/"), None)
        if scheme == "sqlite" and path.startswith("/") and len(path) > 1:
            return cls(uri, Path(path[1:]).absolute())
        if not separator and uri:
            return cls(uri, Path(uri).expanduser().absolute() / DATABASE_FILE)
        raise RegistryError(f"registry {uri!r}: not a folder, sqlite:////abs/path/registry.db or http(s)://server")

    @property
    def exists(self) -> bool:
        """Whether there is something to ask: True for a server, reachable or not."""
        return self.database is None or self.database.is_file()

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client; no default tracking address is set or used, and nothing is created."""
        if self.database is not None:
            return _client(_sqlite(self.database))
        _require_answer(self.uri)
        return _client(self.uri)

    def create(self) -> None:
        """Makes the local database and our experiment where they do not exist yet."""
        if self.database is not None and not self.database.is_file():
            self._create_database(self.database)
        if self.client.get_experiment_by_name(EXPERIMENT) is None:
            # another process may be quicker
            with tolerate("RESOURCE_ALREADY_EXISTS"):
                _create_experiment(self.client, self.database)

    @staticmethod
    def _create_database(database: Path) -> None:
        """Migrates a database elsewhere and links it in: MLflow makes its tables one by one, without a lock."""
        database.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=database.parent) as aside:
            made, whole = Path(aside) / "made.db", Path(aside) / "whole.db"
            _create_experiment(_client(_sqlite(made)), database)
            # MLflow keeps `made` open; a copy has no other owner
            shutil.copyfile(made, whole)
            with contextlib.suppress(FileExistsError):
                database.hardlink_to(whole)


@contextlib.contextmanager
def tolerate(code: str) -> Iterator[None]:
    """Lets one of MLflow's error codes pass, as "RESOURCE_DOES_NOT_EXIST" when deleting."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def _require_answer(uri: str) -> None:
    """Raises RegistryError at once when nobody answers; MLflow would try for minutes."""
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=10).close()
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as error:
        if not isinstance(getattr(error, "reason", None), ssl.SSLError):
            reason = getattr(error, "reason", error)
            raise RegistryError(
                f"the server cannot be reached ({reason}); check its address and that it runs"
            ) from error


def _sqlite(database: Path) -> str:
    return f"sqlite:///{database}"


def _client(uri: str) -> MlflowClient:
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient

    # a first connection tells of every migration step
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _create_experiment(client: MlflowClient, database: Path | None) -> None:
    """Our experiment; a local one keeps its files beside the database, a server decides itself."""
    where = None if database is None else (database.parent / ARTIFACTS_FOLDER).as_uri()
    client.create_experiment(EXPERIMENT, artifact_location=where)
