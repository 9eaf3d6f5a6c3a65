"""What users are told of another library's errors."""

from __future__ import annotations

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.errors import DivergedError, EfficientDetError, ModelError, PreemptedError, printable, reason


@pytest.mark.parametrize(
    ("said", "reason_"),
    [
        ("{{function_node __wrapped__Op}} cut short\n\t at line 3", "cut short"),
        ("Graph execution error:\n\nDetected at node X defined at\n  bad bytes", "bad bytes"),
        ("", "ValueError"),
        ("x" * 500, "x" * 200),
    ],
)
def test_a_reason_is_one_line(said: str, reason_: str):
    assert reason(ValueError(said)) == reason_


@given(st.text(max_size=30) | st.text(st.characters(categories=["Cs", "Cc"]), max_size=30), st.integers(1, 20))
def test_any_text_is_shown_on_one_short_line(text: str, limit: int):
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert printable(shown, limit) == shown
    assert shown == text or not text.isprintable() or shown.endswith("…")


def test_tensorflows_own_words():
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.io.decode_jpeg(b"no image")
    assert reason(caught.value).startswith("Unknown image file format")


def test_programs_end_with_their_codes():
    assert (EfficientDetError.exit_code, PreemptedError.exit_code) == (1, 143)
    assert issubclass(DivergedError, ModelError)
