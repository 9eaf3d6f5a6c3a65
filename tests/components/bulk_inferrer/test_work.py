"""Every image is in one shard."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.bulk_inferrer.work import deal_examples, deal_images
from efficientdet.data.input_pipeline import decode_image
from efficientdet.errors import DataError
from efficientdet.frame import BrokenFrame


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 30), shards=st.none() | st.integers(1, 40))
def test_images_are_dealt_out_in_order(count: int, shards: int | None, tmp_path: Path):
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"sub/{number}.png\n" for number in range(count)))
    dealt, _ = deal_images(str(listed), tmp_path / "lists", shards)
    names = [frame.file for shard in dealt for frame in shard]
    assert names == [f"sub/{number}.png" for number in range(count)]
    assert len(dealt) == min(shards or 1, count)
    assert [shard.number for shard in dealt] == list(range(len(dealt)))


def test_what_is_listed_and_not_there_is_named(images: Path, tmp_path: Path):
    (tmp_path / "list.txt").write_text(f"{images}/000.png\n\nnone.png\n")
    [shard], _ = deal_images(str(tmp_path / "list.txt"), tmp_path / "lists", None)
    whole, missing = shard
    assert whole.file == f"{images}/000.png"
    assert isinstance(missing, BrokenFrame)
    assert "none.png: cannot be read (No such file or directory)" in missing.reason
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"empty\.txt: lists no image"):
        deal_images(str(tmp_path / "empty.txt"), tmp_path / "lists", None)


def test_records_are_dealt_out_among_the_parts_of_a_file(examples: str):
    dealt, _ = deal_examples(examples, 4)
    assert [(Path(shard.path).name, shard.part) for shard in dealt] == [
        ("data-0.gz", 0), ("data-0.gz", 1), ("data-1.gz", 0), ("data-1.gz", 1),
    ]  # fmt: skip
    one, _ = deal_examples(examples, None)
    whole = [[frame.file for frame in shard] for shard in one]
    parts = [[frame.file for frame in shard] for shard in dealt]
    assert [sorted(parts[0] + parts[1]), sorted(parts[2] + parts[3])] == [sorted(names) for names in whole]


def test_records_without_names_have_those_of_their_places(tmp_path: Path):
    with tf.io.TFRecordWriter(str(tmp_path / "bare")) as writer:
        writer.write(tf.train.Example().SerializeToString())
    [shard], _ = deal_examples(str(tmp_path / "bare"), None)
    assert list(shard) == [
        BrokenFrame("bare, record 0", "bare, record 0: holds no image/encoded; make the examples again")
    ]


def test_examples_are_decoded_as_in_training(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    encoded = tf.io.encode_jpeg(noise).numpy()
    example = tf.train.Example()
    example.features.feature["image/encoded"].bytes_list.value.append(encoded)
    with tf.io.TFRecordWriter(str(tmp_path / "one")) as writer:
        writer.write(example.SerializeToString())
    [shard], _ = deal_examples(str(tmp_path / "one"), None)
    [frame] = shard
    np.testing.assert_array_equal(frame.image, decode_image(encoded).numpy())


def test_the_bytes_of_a_shard_have_a_digest(images: Path, examples: str, tmp_path: Path):
    shutil.copytree(images, tmp_path / "images")
    [one], _ = deal_images(str(images), tmp_path / "a", None)
    [copy], _ = deal_images(str(tmp_path / "images"), tmp_path / "b", None)
    assert one.sha256() == copy.sha256()
    (tmp_path / "images/000.png").write_bytes((tmp_path / "images/001.png").read_bytes())
    changed = copy.sha256()
    (tmp_path / "images/000.png").unlink()
    assert len({one.sha256(), changed, copy.sha256()}) == 3
    dealt, _ = deal_examples(examples, 4)
    assert [shard.sha256() for shard in dealt] == [sha256(Path(shard.path).read_bytes()).hexdigest() for shard in dealt]


def test_other_names_are_another_digest(images: Path, examples: str, tmp_path: Path):
    some, other = (deal_images(f"{images}/{glob}", tmp_path / "lists", None)[1] for glob in ("*.png", "00*.png"))
    assert some != other
    assert deal_examples(examples, 1)[1] == deal_examples(examples, 9)[1]
