"""The registry entry: the record stored with every registered model version, whatever registry holds it.

It crosses the border between the team that trains and everyone who pulls: `registry_entry.json` lies beside
the version's files, and its own sha256 is kept in the registry's database. So a consumer trusts the database,
the entry through it, and every file through the entry. `RegistryEntry.model_json_schema()` is its JSON schema.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

FILE_NAME = "registry_entry.json"
FORMAT: Final = 1


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError(f"{path!r} is not a path inside the version")
    return path


FilePath = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileSum(BaseModel):
    """What proves that one file is whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Sha256
    bytes: int = Field(ge=0)

    @classmethod
    def of(cls, path: Path) -> FileSum:
        """The sum of the file at `path`."""
        with path.open("rb") as file:
            return cls(sha256=hashlib.file_digest(file, "sha256").hexdigest(), bytes=path.stat().st_size)


class RegistryEntry(BaseModel):
    """One registered version. Format 1; a reader refuses any other, and any key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = Field(FORMAT, description="Version of this record's layout.")
    name: str = Field(min_length=1, description="Registered name; the registry itself gives the version number.")
    created: datetime = Field(description="When the entry was written, with its time zone.")
    content: Sha256 = Field(description="sha256 over the sums of the bundle's files: equal content, equal version.")
    files: dict[FilePath, FileSum] = Field(description="Every stored file but this one, by its posix path.")
    metrics: dict[str, dict[str, float | None]] = Field(
        default_factory=dict, description="COCO's numbers per shipped file (float, int8); null: has no value."
    )
    tags: dict[str, str] = Field(
        default_factory=dict,
        description="Facts of the push: data_fingerprint, label_map, architecture, baseline, blessing, …",
    )

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files.values())

    def to_json(self) -> str:
        """The text of `registry_entry.json`."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> RegistryEntry:
        """The inverse of `to_json`; raises pydantic's ValidationError, a ValueError, when the text is no entry."""
        return cls.model_validate_json(text)


def content_hash(files: dict[str, FileSum]) -> str:
    """sha256 hex over `<sha256>  <path>` lines in path order, as `sha256sum` prints them."""
    lines = "".join(f"{files[path].sha256}  {path}\n" for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()
