"""What a new version stores: its entry, its files, and where these lie now."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from efficientdet.bundle import MANIFEST_FILE, read_manifest
from efficientdet.registry import DOCUMENTS_FOLDER, MODEL_CARD, Metrics
from schemas.registry_entry import FileSum, RegistryEntry, content_hash

_LONGEST_DESCRIPTION = 5000
"""What MLflow's databases hold of one."""


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
    def description(self) -> str:
        """The model card, where there is one, as far as it fits a page of MLflow's."""
        if MODEL_CARD not in self.sources:
            return ""
        text = self.sources[MODEL_CARD].read_text(encoding="utf-8")
        if len(text) <= _LONGEST_DESCRIPTION:
            return text
        more = f"\n\n… the rest is in `{MODEL_CARD}`.\n"
        return text[: _LONGEST_DESCRIPTION - len(more)].rpartition("\n")[0] + more

    @property
    def sha256(self) -> str:
        """The sum of the entry as it is stored."""
        return hashlib.sha256(self.entry.to_json().encode()).hexdigest()


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
