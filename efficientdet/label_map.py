"""The one mapping between contiguous class ids, names and the ids of the original annotations."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from efficientdet.errors import DataError

FILE_NAME = "label_map.json"


@dataclass(frozen=True)
class Label:
    """One class: contiguous `id` from 1 (0 is background), `name`, and `category_id` of the source."""

    id: int
    name: str
    category_id: int


@dataclass(frozen=True)
class LabelMap:
    """Every class of a data set, ordered by contiguous id 1..k.

    It is built once from the annotations and travels unchanged with the examples, the SavedModel,
    the TFLite metadata and the registry version; `hash` tells whether two parts agree.
    """

    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        for what in ("name", "category_id"):
            counts = Counter(getattr(label, what) for label in self.labels)
            twice = [value for value, count in counts.items() if count > 1]
            if twice:
                raise DataError(f"label map: {what} {twice[0]!r} is given to two classes; make each unique")
        if [label.id for label in self.labels] != list(range(1, len(self.labels) + 1)):
            raise DataError("label map: class ids must be 1..k without gaps")

    @classmethod
    def from_names(cls, names: Iterable[str]) -> LabelMap:
        """Classes in the order given; category ids equal the contiguous ids (VOC has none of its own)."""
        return cls(tuple(Label(i, name, i) for i, name in enumerate(names, start=1)))

    @classmethod
    def from_categories(cls, categories: Iterable[Mapping[str, object]]) -> LabelMap:
        """Classes of a COCO `categories` list, ordered by category id, gaps closed."""
        ordered = sorted((int(str(c["id"])), str(c["name"])) for c in categories)
        return cls(tuple(Label(i, name, cid) for i, (cid, name) in enumerate(ordered, start=1)))

    @classmethod
    def from_json(cls, text: str) -> LabelMap:
        """The inverse of `to_json`; raises DataError when the text is not a label map."""
        try:
            return cls(tuple(Label(int(e["id"]), str(e["name"]), int(e["category_id"])) for e in json.loads(text)))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"label map: not a list of {{id, name, category_id}} ({error})") from error

    @classmethod
    def load(cls, folder: str | Path) -> LabelMap:
        """Reads `label_map.json` in `folder`."""
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            raise DataError(f"{path}: label map not found; it is written beside the examples and every model")
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (DataError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: {error}; write the examples or the model again") from error

    def to_json(self) -> str:
        """Canonical JSON: the same classes always give the same bytes."""
        entries = [{"id": e.id, "name": e.name, "category_id": e.category_id} for e in self.labels]
        return json.dumps(entries, ensure_ascii=False, indent=1) + "\n"

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the sha256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @property
    def names(self) -> list[str]:
        """Class names; `names[i]` belongs to contiguous id i + 1."""
        return [label.name for label in self.labels]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __getitem__(self, class_id: int) -> Label:
        """The label of a contiguous class id, 1..k; raises KeyError for any other id."""
        if not 1 <= class_id <= len(self.labels):
            raise KeyError(class_id)
        return self.labels[class_id - 1]
