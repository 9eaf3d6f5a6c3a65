"""A real MLflow server on the loopback interface that can be killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from werkzeug.security import generate_password_hash

from tests.free_port import free_port

ADMIN, PASSWORD = "ann", "correct horse 7"


class MlflowServer:
    """Keeps its database, files and log in `folder`, and asks for ADMIN and PASSWORD; others see nothing."""

    _process: subprocess.Popen[bytes] | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"http://127.0.0.1:{free_port()}"
        self.files = folder / "files"
        folder.mkdir(parents=True)
        self.start()

    def start(self) -> None:
        """Starts it where it is not at work."""
        if self._process and self._process.poll() is None:
            return
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", self.uri.rpartition(":")[2]),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"),
            *("--artifacts-destination", str(self.files), "--app-name", "basic-auth"),
        ]
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        settings |= {"MLFLOW_FLASK_SERVER_SECRET_KEY": "k", "MLFLOW_AUTH_CONFIG_PATH": str(self._users())}
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True, env=os.environ | settings
            )
        self._wait()
        self.cheapen_passwords()

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, how)
            self._process.wait(20)

    def _users(self) -> Path:
        config = self.folder / "basic_auth.ini"
        config.write_text(
            f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{self.folder}/users.db\n"
            f"admin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        return config

    def cheapen_passwords(self) -> None:
        """Gives every user PASSWORD, so that a check of it costs the server no work; it makes one at every request."""
        with contextlib.closing(sqlite3.connect(self.folder / "users.db")) as users, users:
            users.execute("UPDATE users SET password_hash = ?", (generate_password_hash(PASSWORD, "pbkdf2:sha256:1"),))

    def _wait(self) -> None:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
            except OSError:
                assert self._process, "it is started first"
                assert self._process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.5)
            else:
                return
        raise AssertionError((self.folder / "log").read_text())
