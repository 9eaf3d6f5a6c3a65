"""The errors a user can mend: each message is one sentence naming place, rule, value and remedy."""

from __future__ import annotations


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


class ModelError(EfficientDetError):
    """A checkpoint, SavedModel or TFLite file is missing, damaged or does not fit."""


class RegistryError(EfficientDetError):
    """The model registry refused a request, or a pulled file differs from what was registered."""


class PreemptedError(EfficientDetError):
    """SIGTERM came: everything is saved, and the same command goes on."""

    exit_code = 143  # 128 + SIGTERM, as shells count
