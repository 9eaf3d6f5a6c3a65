"""Reaching Vertex AI's Model Registry: its client, and its refusals as sentences."""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from efficientdet.errors import AccessError, RegistryError, UnreachableError, printable_address
from efficientdet.registry.refusal import is_disk, no_room, refusals, said

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
            raise RegistryError(
                f"registry {printable_address(uri)!r}: not vertex://PROJECT/LOCATION, with ?bucket=NAME or without"
            )
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
    """Turns what Google Cloud, its clients, the network or the disk refuses in the block into a RegistryError."""
    try:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from google.protobuf.json_format import Error as JsonError
        from google.resumable_media import DataCorruption, InvalidResponse
        from urllib3.exceptions import HTTPError
    except ModuleNotFoundError as error:
        raise _not_installed(uri, error) from error
    google = (GoogleAPIError, GoogleAuthError, JsonError, DataCorruption, InvalidResponse)
    # its clients raise the last three themselves, as for an address that is none or an operation that has no result
    kinds = (*google, HTTPError, HTTPException, ModuleNotFoundError, OSError, ValueError, RuntimeError)
    with refusals(uri, doing, kinds, _sentence):
        yield


def _sentence(what: str, error: Exception) -> RegistryError:
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    if isinstance(error, ModuleNotFoundError):
        return _not_installed(what, error)
    if _is_connection(error):
        return UnreachableError(f"{what}: it cannot be reached ({said(error)}); try again")
    if isinstance(error, (api.Unauthorized, api.Forbidden, auth.GoogleAuthError)):
        return AccessError(
            f"{what} ({said(error)}); sign in with `gcloud auth application-default login`, or ask for access"
        )
    return no_room(what, error) if is_disk(error) else RegistryError(f"{what} ({said(error)})")


def _is_connection(error: Exception) -> bool:
    """Whether nobody answered, or the answer broke off."""
    from google.api_core import exceptions as api
    from google.auth.exceptions import TransportError
    from requests.exceptions import ChunkedEncodingError, ConnectionError, Timeout
    from urllib3.exceptions import HTTPError

    of_google = (api.BadGateway, api.GatewayTimeout, api.RetryError, api.ServiceUnavailable, TransportError)
    of_the_network = (ChunkedEncodingError, ConnectionError, Timeout, HTTPError, HTTPException)
    return isinstance(error, (*of_google, *of_the_network, builtins.ConnectionError, TimeoutError))


def _not_installed(what: str, error: ModuleNotFoundError) -> RegistryError:
    return RegistryError(f"{what}: {error.name} is not installed; install the `vertex` extra")
