"""What a registry could not do, as one sentence that says where and during what."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from efficientdet.errors import NoRoomError, RegistryError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


@contextmanager
def refusals(
    uri: str, doing: str, kinds: tuple[type[Exception], ...], sentence: Callable[[str, Exception], RegistryError]
) -> Iterator[None]:
    """Turns what fails in the block into one RegistryError.

    Args:
      kinds: the errors that `sentence` translates; what it is given is the beginning of the sentence.
    """
    what = f"{uri}: {doing} failed"
    try:
        yield
    except RegistryError as error:
        if str(error).startswith(f"{uri}: "):
            raise  # said where it happened, in a block within this one
        raise type(error)(f"{what}: {error}") from error
    except kinds as error:
        raise sentence(what, error) from error


def no_room(what: str, error: Exception) -> NoRoomError:
    """The sentence on a disk that is full or may not be written to."""
    return NoRoomError(f"{what} ({said(error)}); make room, or check who may write there, and run it again")


def is_disk(error: Exception) -> bool:
    """Whether the disk refused, and not the network."""
    return isinstance(error, OSError) and error.errno in _DISK


def said(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
