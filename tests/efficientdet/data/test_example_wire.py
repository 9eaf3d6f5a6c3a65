"""Records written by hand are those of protobuf's own library."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.data.example_wire import bytes_feature, example, floats_feature, ints_feature, varint

FLOATS = st.floats(width=32, allow_nan=False)


@given(
    texts=st.lists(st.binary(max_size=300), max_size=4),
    floats=st.lists(FLOATS, max_size=200),
    ints=st.lists(st.integers(0, 2**63 - 1), max_size=4),
    value=st.binary(max_size=300) | st.integers(16_000, 70_000).map(bytes),
)
def test_records_are_those_of_protobuf(texts: list[bytes], floats: list[float], ints: list[int], value: bytes) -> None:
    expected = tf.train.Example()
    feature = expected.features.feature
    feature["t"].bytes_list.value.extend(texts)
    feature["f"].float_list.value.extend(floats)
    feature["ï"].int64_list.value.extend(ints)
    for key, kind in (("t", "bytes_list"), ("f", "float_list"), ("ï", "int64_list")):
        getattr(feature[key], kind).SetInParent()
    feature["last"].bytes_list.value.append(value)
    packed = np.asarray(floats, "<f4").tobytes()
    ours = {"t": bytes_feature(texts), "f": floats_feature(packed), "ï": ints_feature(ints)}
    assert tf.train.Example.FromString(example(ours, "last", value)) == expected


def test_numbers_are_as_the_format_gives_them() -> None:
    """150 is the example of protobuf's own documentation."""
    assert varint(150) == b"\x96\x01"
    assert [varint(number) for number in (0, 127, 128)] == [b"\x00", b"\x7f", b"\x80\x01"]


def test_an_empty_list_is_there_and_of_its_kind() -> None:
    lists = {"t": bytes_feature([]), "f": floats_feature(b""), "i": ints_feature([])}
    feature = tf.train.Example.FromString(example(lists, "last", b"")).features.feature
    kinds = {key: feature[key].WhichOneof("kind") for key in feature}
    assert kinds == {"t": "bytes_list", "f": "float_list", "i": "int64_list", "last": "bytes_list"}
