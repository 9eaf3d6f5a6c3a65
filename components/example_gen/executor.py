"""How annotation files become tf.Examples: a Beam pipeline over the seams of TFX's ExampleGen."""

from __future__ import annotations

import abc
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
from google.protobuf import json_format, struct_pb2
from tfx import types
from tfx.components.example_gen import utils
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import CUSTOM_CONFIG_KEY, EXAMPLES_KEY, INPUT_BASE_KEY, INPUT_CONFIG_KEY
from tfx.utils import proto_utils

from components.example_gen.read_split import ReadSplit, Source
from efficientdet.data import ledger as ledger_file
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.fingerprint import expand
from efficientdet.data.ledger import Ledger
from efficientdet.data.voc import IMAGE_FOLDER, read_voc, voc_label_map, voc_root
from efficientdet.errors import DataError
from efficientdet.label_map import FILE_NAME as LABEL_MAP_FILE
from efficientdet.label_map import LabelMap


class DetectionExecutor(BaseExampleGenExecutor):
    """Base of both formats: finds the splits, runs the pipeline, writes label map and ledger, judges the ledger."""

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
        settings = _settings(exec_properties)
        splits = _splits(exec_properties)
        self._sources = {split: self.source(split, pattern, exec_properties) for split, pattern in splits.items()}
        self._label_map = self.label_map(settings)
        examples = artifact_utils.get_single_instance(output_dict[EXAMPLES_KEY])
        self._parts = f"{examples.uri}/ledger-parts"
        self._pending = list(splits)
        super().Do(input_dict, output_dict, exec_properties)

        ledgers = {split: _read_part(f"{self._parts}/{split}") for split in splits}
        fileio.rmtree(self._parts)
        # TFX removes the outputs of a failed step, but who has to mend the data needs the whole list.
        refused = f"{os.path.dirname(examples.uri)}-refused.json"  # noqa: PTH120 - a uri
        _write(refused, ledger_file.to_json(ledgers))
        for split, ledger in ledgers.items():
            ledger.require(split, settings["max_bad_fraction"], refused)
        fileio.rename(refused, f"{examples.uri}/{ledger_file.FILE_NAME}")
        _write(f"{examples.uri}/{LABEL_MAP_FILE}", self._label_map.to_json())
        examples.set_string_custom_property("label_map_hash", self._label_map.hash)

    def GetInputSourceToExamplePTransform(  # noqa: N802 - TFX
        self,
    ) -> Callable[[dict[str, Any], str], beam.PTransform]:
        """What the base class calls once for each input split, in their order."""
        return lambda exec_properties, split_pattern: self._read(self._pending.pop(0))

    def _read(self, split: str) -> beam.PTransform:
        return ReadSplit(self._sources[split], self.classes(), self._label_map, f"{self._parts}/{split}")

    @abc.abstractmethod
    def source(self, split: str, pattern: str, exec_properties: Mapping[str, Any]) -> Source:
        """Where a split's annotations and images are; raises DataError when the annotation file is missing."""

    @abc.abstractmethod
    def label_map(self, settings: Mapping[str, Any]) -> LabelMap:
        """The classes of all splits; raises DataError for annotation files that cannot be used at all."""

    @abc.abstractmethod
    def classes(self) -> dict[object, int]:
        """Contiguous class id of each category, as the annotations call it."""


class CocoExecutor(DetectionExecutor):
    """Executor of CocoExampleGen."""

    def source(self, split: str, pattern: str, exec_properties: Mapping[str, Any]) -> Source:
        files = _find(exec_properties, pattern)
        folders = _settings(exec_properties)["image_folders"]
        folder = _resolve_span(folders[split], exec_properties)
        return Source(files, exec_properties[INPUT_BASE_KEY], folder, partial(read_coco, files))

    def label_map(self, settings: Mapping[str, Any]) -> LabelMap:
        return coco_label_map(sorted({file for source in self._sources.values() for file in source.files}))

    def classes(self) -> dict[object, int]:
        return {label.category_id: label.id for label in self._label_map}


class VocExecutor(DetectionExecutor):
    """Executor of VocExampleGen."""

    def source(self, split: str, pattern: str, exec_properties: Mapping[str, Any]) -> Source:
        file, *others = _find(exec_properties, pattern)
        if others:
            raise DataError(f"split {split}: {pattern} matches {file} and {others[0]}; name one image set")
        return Source([file], str(voc_root(file)), IMAGE_FOLDER, partial(read_voc, file))

    def label_map(self, settings: Mapping[str, Any]) -> LabelMap:
        image_sets = [file for source in self._sources.values() for file in source.files]
        return voc_label_map(image_sets, settings["classes"])

    def classes(self) -> dict[object, int]:
        return {label.name: label.id for label in self._label_map}


def _settings(exec_properties: Mapping[str, Any]) -> dict[str, Any]:
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


def _find(exec_properties: Mapping[str, Any], pattern: str) -> list[Path]:
    """The annotation files of a split, sorted; raises DataError when there are none."""
    base = exec_properties[INPUT_BASE_KEY]
    files = expand(base, pattern)
    if not files:
        raise DataError(
            f"{Path(base) / pattern}: annotation file not found; check the data folder and the name of the split"
        )
    return files


def _resolve_span(folder: str, exec_properties: Mapping[str, Any]) -> str:
    """An image folder with the span and version that the driver chose for the annotation files."""
    specs = utils.verify_split_pattern_specs(example_gen_pb2.Input.Split(pattern=folder))
    span, version = exec_properties.get(utils.SPAN_PROPERTY_NAME, 0), exec_properties.get(utils.VERSION_PROPERTY_NAME)
    return utils.get_pattern_for_span_version(folder, *specs, span, version)


def _read_part(path: str) -> Ledger:
    with fileio.open(path, "r") as file:
        return Ledger.from_dict(json.load(file))


def _write(path: str, text: str) -> None:
    """Writes aside, then renames."""
    with fileio.open(f"{path}.part", "w") as file:
        file.write(text)
    fileio.rename(f"{path}.part", path)
