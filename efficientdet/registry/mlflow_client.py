"""Reaching MLflow: which client serves a registry address, and how a local registry comes into being."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efficientdet.errors import RegistryError, UnreachableError, printable_address
from efficientdet.registry.mlflow_errors import is_full

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE_FILE = "mlflow.db"
ARTIFACTS_FOLDER = "artifacts"
EXPERIMENT = "efficientdet"
_TRIES = 12
_BUSY = ("TEMPORARILY_UNAVAILABLE", "BAD_REQUEST")
"""MLflow's words for a database that is locked, and for a row that another process wrote meanwhile."""
_COLLIDED = "Model Version creation error"
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
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
        """From `http(s)://…`, `sqlite:////abs/path/registry.db` or the path of a folder; else RegistryError.

        One that may hold a password is refused with a sentence that does not.
        """
        scheme, separator, path = uri.partition("://")
        if "@" in path and not (scheme == "sqlite" and path.startswith("/")):
            raise RegistryError(
                f"registry {printable_address(uri)!r}: an address with a user name or password would be shown to "
                "others; take them out and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        if scheme in ("http", "https") and separator and path:
            return cls(uri.rstrip("/"), None)
        if scheme == "sqlite" and path.startswith("/") and len(path) > 1:
            return cls(uri, Path(path[1:]).absolute())
        if not separator and uri:
            return cls(uri, _folder(uri) / DATABASE_FILE)
        raise RegistryError(
            f"registry {uri!r}: not a folder, sqlite:////abs/path/registry.db or http(s)://server, nor vertex://PROJECT/LOCATION"
        )

    @property
    def is_server(self) -> bool:
        """Whether there may be other users, from whom it hides something."""
        return self.database is None

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
        if again(self.client.get_experiment_by_name, EXPERIMENT) is None:
            # another process may be quicker
            with tolerate("RESOURCE_ALREADY_EXISTS"):
                again(_create_experiment, self.client, self.database)

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


def _folder(uri: str) -> Path:
    try:
        return Path(uri).expanduser().absolute()
    except RuntimeError as error:
        raise RegistryError(f"registry {uri!r}: there is no such user; give the folder's whole path") from error


@contextlib.contextmanager
def tolerate(code: str) -> Iterator[None]:
    """Lets one of MLflow's error codes pass, as "RESOURCE_DOES_NOT_EXIST" when deleting."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != code:
            raise


def again(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call answers that may be repeated; where others write to the same rows, some are turned away at first."""
    from mlflow.exceptions import MlflowException

    for attempt in range(_TRIES):
        try:
            return call(*args, **kwargs)
        except MlflowException as error:
            busy = error.error_code in _BUSY or _COLLIDED in str(error)
            if attempt == _TRIES - 1 or not busy or is_full(error):
                raise
            # a random wait, or those that collided would collide again
            time.sleep(random.uniform(0.5, 1) * min(2.0, 0.05 * 2**attempt))
    raise AssertionError


def _require_answer(uri: str) -> None:
    """Raises RegistryError at once when nobody answers; MLflow would try for minutes."""
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=10).close()
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as error:
        if not isinstance(getattr(error, "reason", None), ssl.SSLError):
            reason = getattr(error, "reason", error)
            raise UnreachableError(
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
    # what it tells of is tried again, or said in a sentence
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _create_experiment(client: MlflowClient, database: Path | None) -> None:
    """Our experiment; a local one keeps its files beside the database, a server decides itself."""
    where = None if database is None else (database.parent / ARTIFACTS_FOLDER).as_uri()
    client.create_experiment(EXPERIMENT, artifact_location=where)
