"""What MLflow, its database, the network or the disk refuses, as one sentence of the right kind."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from efficientdet.errors import AccessError, NoRoomError, RegistryError, UnreachableError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_DATABASE_DISK = ("database or disk is full", "readonly database", "unable to open database file", "disk I/O error")


@contextmanager
def requests(uri: str, doing: str) -> Iterator[None]:
    """Turns what fails in the block into a RegistryError that says where and during what."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except RegistryError as error:
        raise type(error)(f"{uri}: {doing} failed: {error}") from error
    except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
        raise _sentence(f"{uri}: {doing} failed", error) from error


def is_full(error: Exception) -> bool:
    """Whether a database could not write; to try again is of no use then."""
    return any(said in str(error) for said in _DATABASE_DISK)


def _sentence(what: str, error: Exception) -> RegistryError:
    reason = " ".join(str(error).split())[:300]
    if _refused(error):
        return AccessError(
            f"{what}: the server does not take the name and password, or they may not do this; "
            "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ask who runs it"
        )
    if _is_connection(error) or _is_connection(error.__context__):
        return UnreachableError(f"{what}: the server cannot be reached ({reason}); check that it runs, and try again")
    if is_full(error) or (isinstance(error, OSError) and error.errno in _DISK):
        return NoRoomError(f"{what} ({reason}); make room, or check who may write there, and run it again")
    return RegistryError(f"{what} ({reason})")


def _refused(error: Exception) -> bool:
    response = getattr(error, "response", None)
    denied = getattr(error, "error_code", None) in ("UNAUTHENTICATED", "PERMISSION_DENIED")
    return denied or getattr(response, "status_code", None) in (401, 403)


def _is_connection(error: BaseException | None) -> bool:
    """Whether nobody answered, or the answer broke off."""
    from requests.exceptions import ChunkedEncodingError, ConnectionError, RetryError, Timeout

    return isinstance(error, (ChunkedEncodingError, ConnectionError, RetryError, Timeout, ConnectionResetError))
