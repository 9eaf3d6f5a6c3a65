"""Reaching Vertex AI's Model Registry: its client, and its refusals as sentences."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from efficientdet.errors import AccessError, RegistryError, UnreachableError

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM"
"""gcloud's own variable for another address of Vertex, as that of a private endpoint."""
_URI = re.compile(r"vertex://(?P<project>[a-z0-9:.-]+)/(?P<location>[a-z0-9-]+)/?(\?(?P<query>bucket=[a-z0-9._-]+))?")


@dataclass(frozen=True)
class Place:
    """A project's models in one location of Google Cloud, and the bucket of their files."""

    project: str
    location: str
    bucket: str

    @classmethod
    def parse(cls, uri: str) -> Place:
        """From `vertex://PROJECT/LOCATION`, whose bucket is Vertex's staging one, or `…?bucket=NAME`."""
        found = _URI.fullmatch(uri)
        if not found:
            raise RegistryError(f"registry {uri!r}: not vertex://PROJECT/LOCATION, with ?bucket=NAME or without")
        project, location = found["project"], found["location"]
        named = parse_qs(found["query"] or "").get("bucket")
        return cls(project, location, named[0] if named else f"{project}-vertex-staging-{location}")

    @property
    def parent(self) -> str:
        """Of all models."""
        return f"projects/{self.project}/locations/{self.location}"

    @cached_property
    def client(self) -> ModelServiceClient:
        """Vertex's own."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.aiplatform_v1.services.model_service import ModelServiceClient
        from google.cloud.aiplatform_v1.services.model_service.transports import ModelServiceRestTransport

        address = os.environ.get(ENDPOINT) or f"https://{self.location}-aiplatform.googleapis.com"
        scheme, _, host = address.rstrip("/").partition("://")
        # nobody sends credentials in the clear
        credentials = AnonymousCredentials() if scheme == "http" else None
        return ModelServiceClient(
            transport=ModelServiceRestTransport(host=host, credentials=credentials, url_scheme=scheme)
        )


@contextmanager
def requests(uri: str, doing: str) -> Iterator[None]:
    """Turns what Google Cloud or the network refuses in the block into a RegistryError."""
    try:
        from google.api_core import exceptions as api
        from google.auth import exceptions as auth
        from requests.exceptions import ConnectionError, Timeout
    except ModuleNotFoundError as error:
        raise RegistryError(f"{uri}: {error.name} is not installed; install the `vertex` extra") from error
    what = f"{uri}: {doing} failed"
    try:
        yield
    except RegistryError as error:
        raise type(error)(f"{what}: {error}") from error
    except ModuleNotFoundError as error:
        raise RegistryError(f"{uri}: {error.name} is not installed; install the `vertex` extra") from error
    except (api.Unauthorized, api.Forbidden, auth.DefaultCredentialsError, auth.RefreshError) as error:
        raise AccessError(
            f"{what} ({_line(error)}); sign in with `gcloud auth application-default login`, or ask for access"
        ) from error
    except (api.ServiceUnavailable, api.RetryError, auth.TransportError, ConnectionError, Timeout) as error:
        raise UnreachableError(f"{what}: it cannot be reached ({_line(error)}); try again") from error
    except (api.GoogleAPIError, OSError, ValueError) as error:
        raise RegistryError(f"{what} ({_line(error)})") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
