"""The Beam part of example generation: one split's annotations into tf.Examples and a ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import tensorflow as tf

from efficientdet.data.admission import admit
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.example import to_example
from efficientdet.data.ledger import Finding, Ledger
from efficientdet.label_map import LabelMap


@dataclass(frozen=True)
class Source:
    """One input split.

    files: its annotation files. root: the data folder, which no image may leave. image_folder: relative
    to `root`. read: yields the entries of `files`, on whatever worker it is called.
    """

    files: list[Path]
    root: str
    image_folder: str
    read: Callable[[], Iterator[ImageAnnotation | Finding]]


class ReadSplit(beam.PTransform):
    """Pipeline -> the tf.train.Examples of one split; its ledger goes to the file `ledger_path` as JSON."""

    def __init__(self, source: Source, classes: Mapping[object, int], label_map: LabelMap, ledger_path: str) -> None:
        super().__init__()
        self._source, self._classes, self._label_map, self._ledger_path = source, classes, label_map, ledger_path

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        admitted = (
            pipeline
            | "Source" >> beam.Create([self._source])
            | "ReadAnnotations" >> beam.FlatMap(lambda source: source.read())
            # Annotations are small: shuffled here, the images are read by all workers.
            | "Spread" >> beam.Reshuffle()
            | "Admit"
            >> beam.ParDo(Admit(self._source, self._classes, self._label_map)).with_outputs("ledger", main="examples")
        )
        (
            admitted.ledger
            | "AddLedgers" >> beam.CombineGlobally(AddLedgers())
            | "LedgerToJson" >> beam.Map(lambda ledger: json.dumps(ledger.to_dict()))
            | "WriteLedger" >> beam.io.WriteToText(self._ledger_path, num_shards=1, shard_name_template="")
        )
        return admitted.examples


class Admit(beam.DoFn):
    """Entry of an annotation file -> its tf.train.Example, if it can be used; to `ledger`, what became of it."""

    def __init__(self, source: Source, classes: Mapping[object, int], label_map: LabelMap) -> None:
        self._root, self._folder, self._classes, self._label_map = source.root, source.image_folder, classes, label_map

    def process(self, entry: ImageAnnotation | Finding) -> Iterable[tf.train.Example | beam.pvalue.TaggedOutput]:
        if isinstance(entry, Finding):
            ledger = Ledger()
            ledger.drop_box(entry)
        else:
            image, ledger = admit(entry, self._root, self._folder, self._classes)
            if image is not None:
                yield to_example(image, self._label_map)
        yield beam.pvalue.TaggedOutput("ledger", ledger)


class AddLedgers(beam.CombineFn):
    """The sum of ledgers."""

    def create_accumulator(self) -> Ledger:
        return Ledger()

    def add_input(self, accumulator: Ledger, element: Ledger) -> Ledger:
        return accumulator + element

    def merge_accumulators(self, accumulators: Iterable[Ledger]) -> Ledger:
        return sum(accumulators, Ledger())

    def extract_output(self, accumulator: Ledger) -> Ledger:
        return accumulator
