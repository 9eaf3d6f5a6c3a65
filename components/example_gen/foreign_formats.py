"""CsvExampleGen, YoloExampleGen and TfodExampleGen: formats that data sets of other tools come in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tfx.dsl.components.base import executor_spec
from tfx.types.standard_component_specs import INPUT_BASE_KEY

from components.example_gen.component import SHARD_IMAGES, DetectionExampleGen
from components.example_gen.executor import DetectionExecutor, settings_of
from components.example_gen.source import Source, find
from efficientdet.data.csv import SETS, by_set, csv_label_map, read_csv
from efficientdet.data.tfod import read_tfod
from efficientdet.data.tfod_classes import TfodClasses
from efficientdet.data.yolo import read_yolo, yolo_label_map
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

ANY_FILE = "*"


class CsvExecutor(DetectionExecutor):
    """Executor of CsvExampleGen."""

    def source(self, split: str, pattern: str, exec_properties: Mapping[str, Any]) -> Source:
        (file, *others), base = find(exec_properties, pattern), exec_properties[INPUT_BASE_KEY]
        if others:
            raise DataError(f"split {split}: {pattern} matches {file} and {others[0]}; name one CSV")
        name = settings_of(exec_properties)["names"][split]
        if name not in SETS:
            raise DataError(f"split {split}: {name!r} is no set of a CSV; give one of {', '.join(SETS)}")
        return Source([file], base, "", lambda: iter(by_set(read_csv(file), base, "").get(name, [])))

    def label_map(self, sources: Mapping[str, Source], settings: Mapping[str, Any]) -> LabelMap:
        return csv_label_map(next(iter(sources.values())).files[0])


class YoloExecutor(DetectionExecutor):
    """Executor of YoloExampleGen."""

    def source(self, split: str, pattern: str, exec_properties: Mapping[str, Any]) -> Source:
        base, name = exec_properties[INPUT_BASE_KEY], settings_of(exec_properties)["names"][split]
        return Source([], base, "", partial(read_yolo, base, name))

    def label_map(self, sources: Mapping[str, Source], settings: Mapping[str, Any]) -> LabelMap:
        return yolo_label_map(next(iter(sources.values())).root)


class TfodExecutor(DetectionExecutor):
    """Executor of TfodExampleGen."""

    def source(self, split: str, pattern: str, exec_properties: Mapping[str, Any]) -> Source:
        files, base = find(exec_properties, pattern), exec_properties[INPUT_BASE_KEY]
        settings = settings_of(exec_properties)

        def read() -> Any:
            return read_tfod(files, self._classes, masks=settings["masks"])

        return Source(files, base, "", read)

    def label_map(self, sources: Mapping[str, Source], settings: Mapping[str, Any]) -> LabelMap:
        files = [file for source in sources.values() for file in source.files]
        base, given = next(iter(sources.values())).root, settings["label_map"]
        self._classes = TfodClasses.from_pbtxt(Path(base, given)) if given else TfodClasses.found_in(files)
        return self._classes.label_map


class CsvExampleGen(DetectionExampleGen):
    """Reads AutoML's (TFLite Model Maker's) CSV and its images into an Examples artifact."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(CsvExecutor)

    def __init__(
        self,
        input_base: str,
        annotations: str,
        splits: Mapping[str, str],
        max_bad_fraction: float,
        fingerprint: str,
        group_pattern: str | None = None,
        divide: Mapping[str, int] | None = None,
        shard_images: int = SHARD_IMAGES,
    ) -> None:
        """
        Args beyond DetectionExampleGen's:
          input_base: the data folder, which the CSV's image names are relative to.
          annotations: the CSV, relative to `input_base`.
          splits: per split TRAIN, VALIDATION or TEST, the set as the rows call it.
          fingerprint: `efficientdet.data.fingerprint.csv_fingerprint`.
        """
        settings = _settings(splits, group_pattern, shard_images, max_bad_fraction, fingerprint)
        super().__init__(input_base, dict.fromkeys(splits, annotations), settings, divide, None, None)


class YoloExampleGen(DetectionExampleGen):
    """Reads a YOLO folder, as `efficientdet.data.yolo_layout` describes it, into an Examples artifact."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(YoloExecutor)

    def __init__(
        self,
        input_base: str,
        splits: Mapping[str, str],
        max_bad_fraction: float,
        fingerprint: str,
        group_pattern: str | None = None,
        divide: Mapping[str, int] | None = None,
        shard_images: int = SHARD_IMAGES,
    ) -> None:
        """
        Args beyond DetectionExampleGen's:
          input_base: the folder with data.yaml, or with Darknet's files.
          splits: per split `train`, `val` or `test`, as the description calls it.
          fingerprint: `efficientdet.data.fingerprint.yolo_fingerprint`.
        """
        settings = _settings(splits, group_pattern, shard_images, max_bad_fraction, fingerprint)
        super().__init__(input_base, dict.fromkeys(splits, ANY_FILE), settings, divide, None, None)


class TfodExampleGen(DetectionExampleGen):
    """Takes over TF Object Detection API TFRecords of other writers, checked and with the product's keys."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(TfodExecutor)

    def __init__(
        self,
        input_base: str,
        splits: Mapping[str, str],
        max_bad_fraction: float,
        fingerprint: str,
        label_map: str | None = None,
        masks: bool = False,
        group_pattern: str | None = None,
        divide: Mapping[str, int] | None = None,
        shard_images: int = SHARD_IMAGES,
    ) -> None:
        """
        Args beyond DetectionExampleGen's:
          splits: per split a glob of TFRecords, plain or gzip, relative to `input_base`.
          fingerprint: `efficientdet.data.fingerprint.tfod_fingerprint`.
          label_map: the label_map.pbtxt, relative to `input_base`; the classes that the records name if not given.
          masks: whether to take over `image/object/mask`.
        """
        settings = _settings(splits, group_pattern, shard_images, max_bad_fraction, fingerprint)
        settings |= {"label_map": label_map, "masks": masks}
        super().__init__(input_base, splits, settings, divide, None, None)


def _settings(
    splits: Mapping[str, str], group_pattern: str | None, shard_images: int, max_bad_fraction: float, fingerprint: str
) -> dict[str, Any]:
    return {
        "names": dict(splits),
        "group_pattern": group_pattern,
        "shard_images": shard_images,
        "max_bad_fraction": max_bad_fraction,
        "fingerprint": fingerprint,
    }
