"""The files of a version in MLflow: into a run and back, every sum checked on the way."""

from __future__ import annotations

import tempfile
from datetime import datetime
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from efficientdet.errors import TamperedError
from efficientdet.registry.fetching import differs
from efficientdet.registry.mlflow_client import EXPERIMENT, again
from efficientdet.registry.parcel import Parcel
from schemas.registry_entry import FILE_NAME, FileSum

if TYPE_CHECKING:
    from mlflow import MlflowClient

PUBLISHING = "efficientdet_publishing"
"""Tag of a run that holds, or was to hold, the files of a version: the name it is published under."""

_CHUNK = 1 << 20


def store(client: MlflowClient, parcel: Parcel) -> str:
    """The id of a finished run that holds the parcel; every file was read back and found equal."""
    from mlflow.entities import Metric

    entry = parcel.entry
    experiment = again(client.get_experiment_by_name, EXPERIMENT).experiment_id
    run_id = again(client.create_run, experiment, tags={PUBLISHING: entry.name}).info.run_id
    with tempfile.TemporaryDirectory() as aside:
        written = Path(aside) / FILE_NAME
        written.write_text(entry.to_json(), encoding="utf-8")
        for path, source in {**parcel.sources, FILE_NAME: written}.items():
            parent = PurePosixPath(path).parent.as_posix()
            client.log_artifact(run_id, str(source), None if parent == "." else parent)
        files = {**entry.files, FILE_NAME: FileSum.of(written)}
        for path, expected in files.items():
            download(client, run_id, path, back := Path(aside) / "back")
            if FileSum.of(back) != expected:
                raise TamperedError(differs(path, f"run {run_id}"))
            back.unlink()
    now = int(entry.created.timestamp() * 1000)
    numbers = {f"{part}/{key}": value for part, group in entry.metrics.items() for key, value in group.items()}
    again(client.log_batch, run_id, metrics=[Metric(k, v, now, 0) for k, v in numbers.items() if v is not None])
    again(client.set_terminated, run_id)
    return run_id


def download(client: MlflowClient, run_id: str, path: str, target: Path) -> None:
    """Copies one file of a run; from a server only what `target` lacks of it, where the server knows how.

    Raises TamperedError when it is no longer there.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    root = again(client.get_run, run_id).info.artifact_uri
    repository = get_artifact_repository(root, tracking_uri=client.tracking_uri)
    if isinstance(repository, HttpArtifactRepository):
        return _stream(repository, path, target)
    with tempfile.TemporaryDirectory(prefix=".file-", dir=target.parent) as aside:
        # without dst_path MLflow would hand out the stored file itself; where below it a file lands is its own choice
        try:
            Path(repository.download_artifacts(path, dst_path=aside)).replace(target)
        except FileNotFoundError as error:
            raise TamperedError(_missing(path, run_id)) from error
    return None


def _stream(repository: Any, path: str, target: Path) -> None:
    """The rest of a file from MLflow's server."""
    from mlflow.utils.rest_utils import http_request

    held = target.stat().st_size if target.exists() else 0
    headers = {"Range": f"bytes={held}-"} if held else None
    response = http_request(repository._host_creds, f"/{path}", "GET", stream=True, extra_headers=headers)
    with response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is there
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise TamperedError(_missing(path, repository.artifact_uri))
        response.raise_for_status()
        with target.open("ab" if response.status_code == HTTPStatus.PARTIAL_CONTENT else "wb") as file:
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)


def delete_files(client: MlflowClient, run_id: str) -> None:
    """Removes what a run stored, and the run."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    root = again(client.get_run, run_id).info.artifact_uri
    get_artifact_repository(root, tracking_uri=client.tracking_uri).delete_artifacts()
    again(client.delete_run, run_id)


def runs_before(client: MlflowClient, moment: datetime, name: str | None = None, *, finished: bool = True) -> list[str]:
    """Ids of the runs of publishings, of one name or of all, that began before a moment.

    Others' runs in the experiment are none of ours. `finished`: also those that stored everything.
    """
    experiment = again(client.get_experiment_by_name, EXPERIMENT)
    of = f"= '{name}'" if name else "LIKE '%'"
    condition = f"attributes.start_time < {int(moment.timestamp() * 1000)} AND tags.{PUBLISHING} {of}"
    if not finished:
        condition += " AND attributes.status != 'FINISHED'"
    token, found = None, list[str]()
    while experiment is not None:
        page = again(client.search_runs, [experiment.experiment_id], condition, page_token=token)
        found += [run.info.run_id for run in page]
        token = page.token
        if not token:
            break
    return found


def _missing(path: str, place: str) -> str:
    return f"{path} of {place} is missing; restore that file or register again"
