"""In which numbers layers compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def layers_in(precision: str) -> Iterator[None]:
    """Layers built within compute in float32, or in 16 bits (float16, bfloat16) with weights in float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
