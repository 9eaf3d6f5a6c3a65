"""Secrets that a container on Google Cloud fetches itself, where Kubernetes would give them as its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from efficientdet.errors import EfficientDetError, reason


def read_secrets(secrets: Mapping[str, str], client: Callable[[], Any] | None = None) -> dict[str, str]:
    """Variable to value, of variable to the name of a secret's version in Secret Manager.

    Raises:
      EfficientDetError: nobody is logged in, or Secret Manager refuses or does not answer.
    """
    if not secrets:
        return {}
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import secretmanager

    name = ""
    try:
        open_client = (client or secretmanager.SecretManagerServiceClient)()
        values = {}
        for variable, name in secrets.items():
            values[variable] = open_client.access_secret_version(name=name).payload.data.decode()
    except GoogleAuthError as error:
        raise EfficientDetError(
            f"the secrets of {', '.join(secrets)} cannot be read: there are no credentials ({reason(error)}); run as a "
            "service account, or log in with `gcloud auth application-default login`"
        ) from error
    except GoogleAPIError as error:
        raise EfficientDetError(
            f"{name}: Secret Manager refuses ({reason(error)}); let cluster.service_account read it"
        ) from error
    return values
