"""A real MLflow server on the loopback interface that can be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.free_port import free_port

ADMIN, PASSWORD = "ann", "correct horse 7"


class MlflowServer:
    """Keeps its database, files and log in `folder`; with `authentication` it asks for ADMIN and PASSWORD."""

    def __init__(self, folder: Path, authentication: bool = False) -> None:
        self.folder, self.authentication = folder, authentication
        self.uri = f"http://127.0.0.1:{free_port()}"
        self.files = folder / "files"
        folder.mkdir(parents=True)
        self.start()

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", self.uri.rpartition(":")[2]),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"),
            *("--artifacts-destination", str(self.files)),
        ]
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        if self.authentication:
            command += ["--app-name", "basic-auth"]
            settings |= {"MLFLOW_FLASK_SERVER_SECRET_KEY": "k", "MLFLOW_AUTH_CONFIG_PATH": str(self._users())}
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True, env=os.environ | settings
            )
        self._wait()

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(20)

    def _users(self) -> Path:
        config = self.folder / "basic_auth.ini"
        config.write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{self.folder}/users.db\n"
            f"admin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        return config

    def _wait(self) -> None:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
            except OSError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.5)
            else:
                return
        raise AssertionError((self.folder / "log").read_text())
