"""The files of versions in a bucket of Google Cloud Storage: folders named by the sum of their registry entry."""

from __future__ import annotations

import re
import tempfile
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efficientdet.errors import TamperedError
from efficientdet.registry.fetching import differs
from efficientdet.registry.parcel import Parcel
from schemas.registry_entry import FILE_NAME, FileSum, RegistryEntry

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

PATIENCE_S = 20.0
"""How long a download that breaks off is tried again; Google's own two minutes would keep a script waiting."""
_NOTES = "notes"
_SUM = re.compile("[0-9a-f]{64}")


class VertexFiles:
    """`gs://BUCKET/efficientdet-registry/PROJECT/LOCATION/NAME/SUM/…`, and the notes of a name in `…/NAME/notes/`.

    Registries of several places, and what else is in the bucket, keep out of each other's way.
    """

    def __init__(self, project: str, location: str, bucket: str) -> None:
        self.bucket_name = bucket
        self._project, self._root = project, f"efficientdet-registry/{project}/{location}"

    def store(self, parcel: Parcel) -> str:
        """The folder with all files of the parcel, each read back and found equal; the entry is stored last."""
        folder = self.folder(parcel.entry.name, parcel.sha256)
        with tempfile.TemporaryDirectory() as aside:
            written = Path(aside) / FILE_NAME
            written.write_text(parcel.entry.to_json(), encoding="utf-8")
            for path, source in {**parcel.sources, FILE_NAME: written}.items():
                self._bucket.blob(f"{folder}/{path}").upload_from_filename(str(source))
                back = Path(aside) / "back"
                self.download(folder, path, back)
                if FileSum.of(back) != FileSum.of(source):
                    raise TamperedError(differs(path, self.address(folder)))
                back.unlink()
        return self.address(folder)

    def entry(self, artifact_uri: str) -> tuple[RegistryEntry, str]:
        """The entry in a version's folder, and its sum, which is the folder's name."""
        folder = self.folder_of(artifact_uri)
        sha256 = folder.rpartition("/")[2]
        with tempfile.TemporaryDirectory() as aside:
            target = Path(aside) / FILE_NAME
            self.download(folder, FILE_NAME, target)
            if FileSum.of(target).sha256 != sha256:
                raise TamperedError(differs(FILE_NAME, artifact_uri))
            return RegistryEntry.from_json(target.read_bytes()), sha256

    def download(self, folder: str, path: str, target: Path) -> None:
        """Appends to `target` what it lacks of a file; raises TamperedError when that is not there."""
        from google.api_core.exceptions import NotFound, RequestRangeNotSatisfiable
        from google.cloud.storage.retry import DEFAULT_RETRY

        blob = self._bucket.blob(f"{self.folder_of(folder)}/{path}")
        try:
            with target.open("ab") as file:
                retry = DEFAULT_RETRY.with_timeout(PATIENCE_S)
                blob.download_to_file(file, start=file.tell() or None, checksum=None, retry=retry)
        except NotFound as error:
            raise TamperedError(f"{path} of {folder} is missing; restore that file or register again") from error
        except RequestRangeNotSatisfiable:
            return

    def delete(self, artifact_uri: str) -> None:
        """Removes a version's folder, its entry first."""
        blobs = list(self._bucket.list_blobs(prefix=f"{self.folder_of(artifact_uri)}/"))
        for blob in sorted(blobs, key=lambda blob: not blob.name.endswith(FILE_NAME)):
            blob.delete()

    def folders(self, before: datetime, name: str | None = None) -> dict[str, set[str]]:
        """The versions' folders, of one name or of all, in which nothing was stored since a moment: by name."""
        newest: dict[tuple[str, str], datetime] = {}
        for blob in self._bucket.list_blobs(prefix=f"{self._root}/{name}/" if name else f"{self._root}/"):
            model, _, rest = blob.name.removeprefix(f"{self._root}/").partition("/")
            entry = rest.partition("/")[0]  # not there in what a console leaves for an empty folder
            if _SUM.fullmatch(entry):
                newest[model, entry] = max(newest.get((model, entry), blob.time_created), blob.time_created)
        old: dict[str, set[str]] = {}
        for (model, entry), at in newest.items():
            if at < before:
                old.setdefault(model, set()).add(self.folder(model, entry))
        return old

    def notes(self, name: str) -> dict[str, str]:
        """As Registry.notes."""
        prefix = f"{self._root}/{name}/{_NOTES}/"
        blobs = self._bucket.list_blobs(prefix=prefix)
        found = {blob.name.removeprefix(prefix): blob for blob in blobs}
        return {key: blob.download_as_bytes().decode() for key, blob in found.items() if key}

    def note(self, name: str, key: str, value: str) -> None:
        """As Registry.note."""
        self._bucket.blob(f"{self._root}/{name}/{_NOTES}/{key}").upload_from_string(value)

    def folder(self, name: str, entry: str) -> str:
        """Of the version whose entry has this sum."""
        return f"{self._root}/{name}/{entry}"

    def address(self, folder: str) -> str:
        """As Vertex writes it."""
        return f"gs://{self.bucket_name}/{folder}"

    def folder_of(self, address: str) -> str:
        """The folder at an address, which a person may have written."""
        return address.removeprefix(f"gs://{self.bucket_name}/").rstrip("/")

    @cached_property
    def _bucket(self) -> Bucket:
        from google.cloud import storage

        client: Any = storage.Client(project=self._project)
        return client.bucket(self.bucket_name)
