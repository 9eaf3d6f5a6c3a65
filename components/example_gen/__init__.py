"""Data sets into sharded tf.Examples: the ExampleGen components of this product."""

from components.example_gen.component import CocoExampleGen, VocExampleGen
from components.example_gen.foreign_formats import CsvExampleGen, TfodExampleGen, YoloExampleGen

__all__ = ["CocoExampleGen", "CsvExampleGen", "TfodExampleGen", "VocExampleGen", "YoloExampleGen"]
