"""The files of a version in MLflow: into a run and back, every sum checked on the way."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from efficientdet.bundle import MANIFEST_FILE, read_manifest
from efficientdet.errors import RegistryError
from efficientdet.registry import DOCUMENTS_FOLDER, Metrics
from efficientdet.registry.mlflow_client import EXPERIMENT, again
from schemas.registry_entry import FILE_NAME, FileSum, RegistryEntry, content_hash

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Parcel:
    """What one version stores: its entry, and by each path of the entry where that file lies now."""

    entry: RegistryEntry
    sources: Mapping[str, Path]

    @classmethod
    def pack(
        cls, bundle: Path, name: str, metrics: Metrics, tags: Mapping[str, str], documents: Sequence[Path]
    ) -> Parcel:
        """The files of a verified bundle, its manifest, and the documents in a folder of their own."""
        listed = {path: bundle / path for path in read_manifest(bundle)["files"]}
        sums = {path: FileSum.of(source) for path, source in listed.items()}
        beside = {MANIFEST_FILE: bundle / MANIFEST_FILE}
        beside |= {f"{DOCUMENTS_FOLDER}/{document.name}": document for document in map(Path, documents)}
        entry = RegistryEntry(
            name=name,
            created=datetime.now(UTC),
            content=content_hash(sums),
            files=sums | {path: FileSum.of(source) for path, source in beside.items()},
            metrics={part: {key: _finite(value) for key, value in group.items()} for part, group in metrics.items()},
            tags=dict(tags),
        )
        return cls(entry, listed | beside)

    @property
    def sha256(self) -> str:
        """The sum of the entry as it is stored."""
        return hashlib.sha256(self.entry.to_json().encode()).hexdigest()


def store(client: MlflowClient, parcel: Parcel) -> str:
    """The id of a finished run that holds the parcel; every file was read back and found equal."""
    from mlflow.entities import Metric

    entry = parcel.entry
    run_id = again(client.create_run, again(client.get_experiment_by_name, EXPERIMENT).experiment_id).info.run_id
    with tempfile.TemporaryDirectory() as aside:
        written = Path(aside) / FILE_NAME
        written.write_text(entry.to_json(), encoding="utf-8")
        for path, source in {**parcel.sources, FILE_NAME: written}.items():
            parent = PurePosixPath(path).parent.as_posix()
            client.log_artifact(run_id, str(source), None if parent == "." else parent)
        files = {**entry.files, FILE_NAME: FileSum.of(written)}
        download(client, run_id, files, Path(aside) / "back")
    now = int(entry.created.timestamp() * 1000)
    numbers = {f"{part}/{key}": value for part, group in entry.metrics.items() for key, value in group.items()}
    again(client.log_batch, run_id, metrics=[Metric(k, v, now, 0) for k, v in numbers.items() if v is not None])
    again(client.set_terminated, run_id)
    return run_id


def read_entry(client: MlflowClient, run_id: str, sha256: str) -> RegistryEntry:
    """The entry in a run, which must have the sum that the registry's database tells."""
    with tempfile.TemporaryDirectory() as aside:
        path = Path(client.download_artifacts(run_id, FILE_NAME, dst_path=aside))
        if FileSum.of(path).sha256 != sha256:
            raise RegistryError(_differs(FILE_NAME, run_id))
        return RegistryEntry.from_json(path.read_bytes())


def download(
    client: MlflowClient, run_id: str, files: Mapping[str, FileSum], folder: Path, paths: Iterable[str] | None = None
) -> None:
    """Copies files of a run, all or those of `paths`, into `folder`; RegistryError names the first with a wrong sum."""
    for path in files if paths is None else paths:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # without dst_path MLflow would hand out the stored file itself; where below it a file lands is its own choice
        Path(client.download_artifacts(run_id, path, dst_path=str(target.parent))).replace(target)
        if FileSum.of(target) != files[path]:
            raise RegistryError(_differs(path, run_id))


def delete_files(client: MlflowClient, run_id: str) -> None:
    """Removes what a run stored, and the run."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    root = again(client.get_run, run_id).info.artifact_uri
    get_artifact_repository(root, tracking_uri=client.tracking_uri).delete_artifacts()
    again(client.delete_run, run_id)


def _differs(path: str, run_id: str) -> str:
    return f"{path} of run {run_id} differs from what was registered (sha256); restore that file or register again"


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
