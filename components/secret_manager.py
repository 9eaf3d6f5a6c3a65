"""Secrets that a container on Google Cloud fetches itself, where Kubernetes would give them as its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def read_secrets(secrets: Mapping[str, str], client: Callable[[], Any] | None = None) -> dict[str, str]:
    """Variable to value, of variable to the name of a secret's version in Secret Manager."""
    if not secrets:
        return {}
    from google.cloud import secretmanager

    open_client = (client or secretmanager.SecretManagerServiceClient)()
    versions = {variable: open_client.access_secret_version(name=name) for variable, name in secrets.items()}
    return {variable: version.payload.data.decode() for variable, version in versions.items()}
