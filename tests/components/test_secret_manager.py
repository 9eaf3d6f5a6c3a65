"""Secrets of Secret Manager."""

from __future__ import annotations

from types import SimpleNamespace

from components.secret_manager import read_secrets


def test_secrets_become_variables():
    held = {"projects/team/secrets/password/versions/latest": b"s3cret"}

    class Vault:
        """Answers as Secret Manager's client does."""

        def access_secret_version(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(payload=SimpleNamespace(data=held[name]))

    [name] = held
    assert read_secrets({"MLFLOW_TRACKING_PASSWORD": name}, Vault) == {"MLFLOW_TRACKING_PASSWORD": "s3cret"}
    assert read_secrets({}) == {}
