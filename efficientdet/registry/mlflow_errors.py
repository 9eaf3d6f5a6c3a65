"""What MLflow, its database, the network or the disk refuses, as one sentence of the right kind."""

from __future__ import annotations

from contextlib import AbstractContextManager

from efficientdet.errors import AccessError, RegistryError, UnreachableError
from efficientdet.registry.refusal import is_disk, no_room, refusals, said

_DATABASE_DISK = ("database or disk is full", "readonly database", "unable to open database file", "disk I/O error")


def requests(uri: str, doing: str) -> AbstractContextManager[None]:
    """Turns what fails in the block into a RegistryError that says where and during what."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return refusals(uri, doing, (MlflowException, SQLAlchemyError, OSError, ValueError), _sentence)


def is_full(error: Exception) -> bool:
    """Whether a database could not write; to try again is of no use then."""
    return any(words in str(error) for words in _DATABASE_DISK)


def _sentence(what: str, error: Exception) -> RegistryError:
    if _refused(error):
        return AccessError(
            f"{what}: the server does not take the name and password, or they may not do this; "
            "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ask who runs it"
        )
    if _is_connection(error) or _is_connection(error.__context__):
        return UnreachableError(
            f"{what}: the server cannot be reached ({said(error)}); check that it runs, and try again"
        )
    if is_full(error) or is_disk(error):
        return no_room(what, error)
    return RegistryError(f"{what} ({said(error)})")


def _refused(error: Exception) -> bool:
    response = getattr(error, "response", None)
    denied = getattr(error, "error_code", None) in ("UNAUTHENTICATED", "PERMISSION_DENIED")
    return denied or getattr(response, "status_code", None) in (401, 403)


def _is_connection(error: BaseException | None) -> bool:
    """Whether nobody answered, or the answer broke off."""
    from requests.exceptions import ChunkedEncodingError, ConnectionError, RetryError, Timeout

    return isinstance(error, (ChunkedEncodingError, ConnectionError, RetryError, Timeout, ConnectionResetError))
