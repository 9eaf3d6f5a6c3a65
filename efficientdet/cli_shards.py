"""Shards of examples as a command is given them: a pattern of files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from efficientdet.errors import DataError, reason

if TYPE_CHECKING:
    from efficientdet.label_map import LabelMap

FOREIGN_LABEL_MAP = "label_map.pbtxt"
SHARDS_HELP = "Shards of examples, as TFRecords."

label_map_option = click.option(
    "--label-map",
    type=click.Path(path_type=Path),
    help=f"Folder of label_map.json, or a {FOREIGN_LABEL_MAP}.  [that of the shards]",
)


def example_shards(pattern: str) -> dict[str, int]:
    """The files that match a pattern, in the order of their names, with their sizes in bytes."""
    import tensorflow as tf

    from efficientdet.data.tfrecord_file import compression_of

    try:
        files = [name for name in sorted(tf.io.gfile.glob(pattern)) if not tf.io.gfile.isdir(name)]
    except tf.errors.OpError as error:
        raise DataError(f"{pattern}: cannot be searched ({reason(error)}); correct the pattern") from error
    if not files:
        raise DataError(f"{pattern}: no file matches; give the shards as in 'examples/Split-train/*'")
    kinds = {name: kind for name in files if (kind := compression_of(name)) is not None}
    if len(set(kinds.values())) > 1:
        plain, packed = (next(name for name in kinds if kinds[name] == kind) for kind in ("", "GZIP"))
        raise DataError(f"{packed}: is a gzip TFRecord, but {plain} is a plain one; match shards of one kind")
    return {name: tf.io.gfile.stat(name).length for name in files}


def label_map_of(given: Path | None, shard: str) -> LabelMap:
    """The label map of a folder, or in a label_map.pbtxt; or that beside the shard, or in the folder above."""
    from efficientdet.label_map import FILE_NAME, LabelMap

    if given and given.suffix == ".pbtxt":
        return _foreign(given)
    folders = [given] if given else [Path(shard).parent, Path(shard).absolute().parent.parent]
    for place in folders:
        if (place / FILE_NAME).is_file():
            return LabelMap.load(place)
        if (place / FOREIGN_LABEL_MAP).is_file():
            return _foreign(place / FOREIGN_LABEL_MAP)
    looked = ", ".join(str(place) for place in folders)
    raise DataError(f"{looked}: holds no {FILE_NAME}, the classes of the examples; name its folder with --label-map")


def _foreign(path: Path) -> LabelMap:
    """The label map of records that are taken as they are, whose numbers must be ours."""
    from efficientdet.data.tfod_classes import TfodClasses

    label_map = TfodClasses.from_pbtxt(path).label_map
    for label in label_map:
        if label.id != label.category_id:
            raise DataError(
                f"{path}: has no class {label.id}, but training needs ids without gaps; make examples of the records "
                "with the pipeline (source.format: tfod)"
            )
    return label_map


@contextmanager
def readable_shards(pattern: str) -> Iterator[None]:
    """Puts what TensorFlow says of damaged records into a sentence."""
    import tensorflow as tf

    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        if isinstance(error, tf.errors.InvalidArgumentError) and "parse example" not in str(error):
            raise  # of a computation, not of a record
        raise DataError(f"{pattern}: a record cannot be read ({reason(error)}); make the shards again") from error
