"""Shards of examples as a command is given them: a pattern of files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from efficientdet.errors import DataError, reason

if TYPE_CHECKING:
    from efficientdet.label_map import LabelMap


def example_shards(pattern: str) -> dict[str, int]:
    """The files that match a pattern, in the order of their names, with their sizes in bytes."""
    import tensorflow as tf

    try:
        files = [name for name in sorted(tf.io.gfile.glob(pattern)) if not tf.io.gfile.isdir(name)]
    except tf.errors.OpError as error:
        raise DataError(f"{pattern}: cannot be searched ({reason(error)}); correct the pattern") from error
    if not files:
        raise DataError(f"{pattern}: no file matches; give the shards as in 'examples/Split-train/*'")
    for name in files:
        with tf.io.gfile.GFile(name, "rb") as file:
            if file.read(2) != b"\x1f\x8b":
                raise DataError(
                    f"{name}: is not a gzip TFRecord; pack it with `gzip`, and match the packed shards only"
                )
    return {name: tf.io.gfile.stat(name).length for name in files}


def label_map_of(folder: Path | None, shard: str) -> LabelMap:
    """The label map of a folder; or of the shard's own folder, or the one above."""
    from efficientdet.label_map import FILE_NAME, LabelMap

    folders = [folder] if folder else [Path(shard).parent, Path(shard).absolute().parent.parent]
    for place in folders:
        if (place / FILE_NAME).is_file():
            return LabelMap.load(place)
    looked = " nor ".join(str(place) for place in folders)
    raise DataError(f"{looked}: holds no {FILE_NAME}, the classes of the examples; name its folder with --label-map")


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
