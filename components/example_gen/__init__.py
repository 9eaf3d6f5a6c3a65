"""Data sets into sharded tf.Examples: the ExampleGen components of this product."""

from components.example_gen.component import CocoExampleGen, VocExampleGen

__all__ = ["CocoExampleGen", "VocExampleGen"]
