"""What a TFLite file says of itself to MediaPipe and the Task API, read back from its metadata."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import number_types
from flatbuffers.encode import Get
from flatbuffers.table import Table

from efficientdet.errors import ModelError
from efficientdet.tflite_metadata import METADATA_NAME
from efficientdet.tflite_metadata_tables import LABELS_FILE

IDENTIFIER = b"M001"


@dataclass(frozen=True)
class TFLiteMetadata:
    """What clients go by.

    outputs: names of the output tensors, in order. labels_file: of the classes, among the packed files. labels: its
    lines. mean, std: of the normalisation that the client shall do, by channel or one for all.
    """

    outputs: tuple[str, ...]
    labels_file: str
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_metadata(path: str | Path) -> TFLiteMetadata:
    """The metadata of a TFLite file; raises ModelError when it has none, or one that cannot be read."""
    path = Path(path)
    try:
        [graph] = _model(path.read_bytes()).tables(3)
        image, outputs = graph.tables(2)[0], graph.tables(3)
        [unit] = image.tables(4)
        files = [output.tables(6)[0].text(0) for output in outputs if output.has(6)]
        labels_file = files[0] if files else ""
        options = unit.table(1)
        names = tuple(output.text(0) for output in outputs)
        return TFLiteMetadata(names, labels_file, _labels(path), options.floats(0), options.floats(1))
    except ModelError:
        raise
    except Exception as error:  # the generated readers raise whatever damaged offsets lead to
        raise ModelError(f"{path}: its TFLite metadata cannot be read ({error!r}); export the model again") from error


def _model(content: bytes) -> _Fields:
    model = schema.Model.GetRootAs(bytearray(content), 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == METADATA_NAME.encode():
            metadata = bytearray(model.Buffers(entry.Buffer()).DataAsNumpy())
            if metadata[4:8] != IDENTIFIER:
                raise ValueError(f"it begins with {bytes(metadata[4:8])!r}, not {IDENTIFIER!r}")
            return _Fields(metadata, Get(number_types.UOffsetTFlags.packer_type, metadata, 0))
    raise ModelError(f"has no {METADATA_NAME}, without which MediaPipe and the Task API refuse it")


def _labels(path: Path) -> tuple[str, ...]:
    with zipfile.ZipFile(path) as packed:
        return tuple(packed.read(LABELS_FILE).decode().splitlines())


class _Fields:
    """A table of a flatbuffer, read by the numbers of its fields."""

    def __init__(self, content: bytearray, position: int) -> None:
        self._table = Table(content, position)

    def has(self, field: int) -> bool:
        return self._table.Offset(4 + 2 * field) != 0

    def text(self, field: int) -> str:
        return str(self._table.String(self._place(field)).decode())

    def table(self, field: int) -> _Fields:
        return _Fields(self._table.Bytes, self._table.Indirect(self._place(field)))

    def tables(self, field: int) -> list[_Fields]:
        return [_Fields(self._table.Bytes, self._table.Indirect(place)) for place in self._items(field)]

    def floats(self, field: int) -> tuple[float, ...]:
        packer = number_types.Float32Flags.packer_type
        return tuple(float(Get(packer, self._table.Bytes, place)) for place in self._items(field))

    def _place(self, field: int) -> int:
        if not self.has(field):
            raise ValueError(f"field {field} is missing")
        return int(self._table.Offset(4 + 2 * field) + self._table.Pos)

    def _items(self, field: int) -> list[int]:
        """Where the 4-byte items of a vector are."""
        offset = self._table.Offset(4 + 2 * field) if self.has(field) else 0
        start, count = (self._table.Vector(offset), self._table.VectorLen(offset)) if offset else (0, 0)
        return [start + 4 * i for i in range(count)]
