"""Secrets of Secret Manager."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from google.api_core.exceptions import PermissionDenied

from components.secret_manager import read_secrets
from efficientdet.errors import EfficientDetError


def test_secrets_become_variables():
    held = {"projects/team/secrets/password/versions/latest": b"s3cret"}

    class Vault:
        """Answers as Secret Manager's client does."""

        def access_secret_version(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(payload=SimpleNamespace(data=held[name]))

    [name] = held
    assert read_secrets({"MLFLOW_TRACKING_PASSWORD": name}, Vault) == {"MLFLOW_TRACKING_PASSWORD": "s3cret"}
    assert read_secrets({}) == {}


def test_a_secret_that_may_not_be_read_is_told():
    class Locked:
        """Refuses as Secret Manager's client does."""

        def access_secret_version(self, name: str) -> SimpleNamespace:
            raise PermissionDenied(f"no access to {name}")

    with pytest.raises(EfficientDetError, match=r"^secrets/a: Secret Manager refuses \(403 no access to secrets/a\)"):
        read_secrets({"PASSWORD": "secrets/a"}, Locked)
