"""How annotation files become tf.Examples: read once, dealt out to shards, each shard written by one Beam worker."""

from __future__ import annotations

import abc
import logging
import os
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import (
    CUSTOM_CONFIG_KEY,
    EXAMPLES_KEY,
    INPUT_CONFIG_KEY,
    OUTPUT_CONFIG_KEY,
    OUTPUT_DATA_FORMAT_KEY,
    OUTPUT_FILE_FORMAT_KEY,
)
from tfx.utils import proto_utils

from components.example_gen.entry_file import write_entries, write_index
from components.example_gen.source import Source
from components.example_gen.write_shard import ASIDE, Division, Shard, SplitWork, WriteShard, read_ledgers
from components.shard_job import write_shards
from efficientdet.data import ledger as ledger_file
from efficientdet.data.ledger import Ledger
from efficientdet.errors import DataError
from efficientdet.label_map import FILE_NAME as LABEL_MAP_FILE
from efficientdet.label_map import LabelMap

MOST_SHARDS = 1024

logger = logging.getLogger(__name__)


class DetectionExecutor(BaseBeamExecutor):
    """Base of all formats: finds the splits, runs the pipeline, writes label map and ledger, judges the ledger."""

    def Do(  # noqa: N802 - TFX
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the Examples artifact.

        Raises DataError, before any Beam worker starts, for annotation files that cannot be used at all,
        and, after the last, when more than `max_bad_fraction` of the records of a split had to be dropped.
        """
        settings, splits = settings_of(exec_properties), _splits(exec_properties)
        sources = {split: self.source(split, pattern, exec_properties) for split, pattern in splits.items()}
        label_map = self.label_map(sources, settings)
        [examples] = output_dict[EXAMPLES_KEY]
        division = _division(exec_properties)
        targets = list(division.buckets) if division else list(splits)
        examples.split_names = artifact_utils.encode_split_names(targets)

        ledgers: dict[str, Ledger] = {target: Ledger() for target in targets}
        work, shards = {}, []
        for split, source in sources.items():
            work[split] = SplitWork(
                f"{examples.uri}/{ASIDE}/{split}.entries",
                source.root,
                source.image_folder,
                self.classes(label_map),
                bool(settings.get("masks")),
                division,
            )
            places, ledger = _deal(source, split, work[split].entries, examples.uri, settings)
            ledgers[split if split in ledgers else targets[0]] += ledger
            shards += [Shard(split, number, len(places), own) for number, own in enumerate(places)]
        write_shards(self._make_beam_pipeline, shards, WriteShard(examples.uri, work, label_map))
        for target, ledger in read_ledgers(examples.uri, shards):
            ledgers[target] += ledger
        fileio.rmtree(f"{examples.uri}/{ASIDE}")
        _conclude(examples, ledgers, bool(division), settings["max_bad_fraction"])
        _write(f"{examples.uri}/{LABEL_MAP_FILE}", label_map.to_json())
        examples.set_string_custom_property("label_map_hash", label_map.hash)
        examples_utils.set_payload_format(examples, exec_properties[OUTPUT_DATA_FORMAT_KEY])
        if exec_properties.get(OUTPUT_FILE_FORMAT_KEY):
            examples_utils.set_file_format(examples, "tfrecords_gzip")

    @abc.abstractmethod
    def source(self, split: str, pattern: str, exec_properties: Mapping[str, Any]) -> Source:
        """Where a split's annotations and images are; raises DataError when the annotation file is missing."""

    @abc.abstractmethod
    def label_map(self, sources: Mapping[str, Source], settings: Mapping[str, Any]) -> LabelMap:
        """The classes of all splits; raises DataError for annotation files that cannot be used at all."""

    def classes(self, label_map: LabelMap) -> dict[object, int]:
        """Contiguous class id of each category, as the annotations call it: by name unless a format says otherwise."""
        return {label.name: label.id for label in label_map}


def _deal(source: Source, split: str, path: str, uri: str, settings: Mapping[str, Any]) -> tuple[list[range], Ledger]:
    """Reads the annotations of a split into the file `path`: each shard's places in its index, the reader's ledger."""
    fileio.makedirs(f"{uri}/{ASIDE}")
    changes = f"{uri}/{ASIDE}/{split}-reader.jsonl"
    with fileio.open(changes, "w") as file:
        offsets, ledger = write_entries(source.read(), path, file, settings.get("group_pattern"))
    if ledger.findings:
        fileio.makedirs(f"{uri}/{ledger_file.CHANGES_FOLDER}")
        fileio.rename(changes, f"{uri}/{ledger_file.CHANGES_FOLDER}/{split}-reader.jsonl")
    shards = min(MOST_SHARDS, -(-len(offsets) // int(settings["shard_images"]))) or 1
    return write_index(path, offsets, shards), ledger


def _conclude(examples: types.Artifact, ledgers: Mapping[str, Ledger], divided: bool, max_bad_fraction: float) -> None:
    """Says what became of every record, writes it beside the examples, and raises DataError when too much was lost."""
    if divided:
        sum(ledgers.values(), Ledger()).require_balance(", ".join(ledgers))
        for ledger in ledgers.values():
            ledger.images.read, ledger.boxes.read = ledger.images.accounted, ledger.boxes.accounted
    # TFX removes the outputs of a failed step, but who has to mend the data needs the whole list.
    refused = f"{os.path.dirname(examples.uri)}-refused.json"  # noqa: PTH120 - a uri
    _write(refused, ledger_file.to_json(ledgers))
    for split, ledger in ledgers.items():
        ledger.require_balance(split)
        logger.info("%s: %s", split, ledger)
    for split, ledger in ledgers.items():
        if divided and not ledger.images.read:
            raise DataError(f"split {split}: no image fell to its share; give more images or groups, or other shares")
        ledger.require(split, max_bad_fraction, refused)
    fileio.rename(refused, f"{examples.uri}/{ledger_file.FILE_NAME}")


def _division(exec_properties: Mapping[str, Any]) -> Division | None:
    """TFX's output config, where it divides the input's one split."""
    output = example_gen_pb2.Output()
    proto_utils.json_to_proto(exec_properties[OUTPUT_CONFIG_KEY], output)
    config = output.split_config
    if not config.splits:
        return None
    return Division({split.name: split.hash_buckets for split in config.splits}, config.partition_feature_name)


def settings_of(exec_properties: Mapping[str, Any]) -> dict[str, Any]:
    """The component's own settings, from the Struct in `custom_config`."""
    config, struct = example_gen_pb2.CustomConfig(), struct_pb2.Struct()
    proto_utils.json_to_proto(exec_properties[CUSTOM_CONFIG_KEY], config)
    config.custom_config.Unpack(struct)
    return json_format.MessageToDict(struct)


def _splits(exec_properties: Mapping[str, Any]) -> dict[str, str]:
    """Input split name -> pattern, spans already resolved by the driver."""
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[INPUT_CONFIG_KEY], config)
    return {split.name: split.pattern for split in config.splits}


def _write(path: str, text: str) -> None:
    """Writes aside, then renames."""
    with fileio.open(f"{path}.part", "w") as file:
        file.write(text)
    fileio.rename(f"{path}.part", path, overwrite=True)
