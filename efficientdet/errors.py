"""The errors a user can mend: each message is one sentence naming place, rule, value and remedy."""

from __future__ import annotations

import re


class EfficientDetError(Exception):
    """Base of every error whose message is written for the user; programs print it without a traceback.

    Attributes:
      exit_code: of a program that ends with it.
    """

    exit_code = 1


class ConfigError(EfficientDetError):
    """A setting is unknown, out of range, or contradicts another setting."""


class DataError(EfficientDetError):
    """An annotation, image or record cannot be used."""


class ProblemsError(DataError):
    """A data set was checked, and has problems."""

    exit_code = 3


class ModelError(EfficientDetError):
    """A checkpoint, SavedModel or TFLite file is missing, damaged or does not fit."""


class DivergedError(ModelError):
    """A loss or gradient is no longer finite: these hyperparameters do not work."""


class RegistryError(EfficientDetError):
    """The model registry refused a request, or a pulled file differs from what was registered.

    Its kinds have an exit code each, so that a script can tell what to do.
    """


class NotRegisteredError(RegistryError):
    """There is no model, version, alias or file of this name."""

    exit_code = 4


class UnreachableError(RegistryError):
    """Nobody answers at the registry's address; later it may work."""

    exit_code = 5


class TamperedError(RegistryError):
    """A file differs from what was registered, and must not be used."""

    exit_code = 6


class NoRoomError(RegistryError):
    """The disk is full, or may not be written to."""

    exit_code = 7


class AccessError(RegistryError):
    """The registry does not take the user name and password, or they may not do this."""

    exit_code = 8


class PreemptedError(EfficientDetError):
    """SIGTERM came: everything is saved, and the same command goes on."""

    exit_code = 143  # 128 + SIGTERM, as shells count


def printable(text: str, limit: int = 200) -> str:
    """A text of the user's on one line of at most `limit` characters; what cannot be printed stands as escapes."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: limit + 1])
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def reason(error: Exception) -> str:
    """What a library says of an error in one line of at most 200 characters, without names of graph nodes."""
    lines = [re.sub(r"\{\{.*?\}\} *", "", line).strip() for line in str(error).splitlines()]
    # TensorFlow begins what happened inside a compiled function with a heading.
    said = [line for line in lines if line and line != "Graph execution error:" and not line.startswith("Detected at")]
    return (said[0] if said else type(error).__name__)[:200]


def printable_address(uri: str) -> str:
    """An address without the user name and password that somebody may have written into it."""
    return re.sub("(?s)//.*@", "//…@", uri)
