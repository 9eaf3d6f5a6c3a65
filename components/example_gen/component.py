"""The ExampleGen nodes: what they take; `executor.py` and `formats.py` say how they do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import struct_pb2
from tfx.components import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2, range_config_pb2

from components.example_gen.driver import ContentDriver
from components.example_gen.formats import CocoExecutor, VocExecutor
from efficientdet.data.voc import image_set_file
from efficientdet.errors import ConfigError

HALVES = {"train": 2, "eval": 1}
SHARD_IMAGES = 256
"""Some 40 MB of photographs: enough shards to share out, not so many that opening them counts."""


class DetectionExampleGen(FileBasedExampleGen):
    """Base of all formats: annotation files and their images into an Examples artifact.

    The artifact holds, per split, gzipped TFRecords of the keys in schemas/detection.pbtxt, and beside them
    `label_map.json` (its hash is the artifact's property `label_map_hash`), `ledger.json`, and in `changes` a line of
    JSON for each record that was not kept as it is.
    """

    DRIVER_CLASS = ContentDriver

    def __init__(
        self,
        input_base: str,
        splits: Mapping[str, str],
        settings: Mapping[str, Any],
        divide: Mapping[str, int] | None,
        output_config: example_gen_pb2.Output | None,
        range_config: range_config_pb2.RangeConfig | None,
    ) -> None:
        """
        Args:
          input_base: the data folder; no image may lie outside of it.
          splits: per split what the format calls it, relative to `input_base`; it may hold `{SPAN}`.
          settings: JSON-ready, for the executor; with `fingerprint`, another one of which runs the step again,
            `max_bad_fraction` (0..1), the part of images, and of boxes, that may be dropped, and `shard_images`,
            how many images a shard holds at most, as long as a split has no more than 1024 shards.
          divide: per new split its share of a single one, by the hash of an image's group or else of its content, so
            that what belongs together stays together. A single split is divided 2:1 into train and eval if not given.
          output_config: TFX's own way to divide a single split.
          range_config: which span to read where `splits` hold `{SPAN}`; the latest when not given.
        """
        if divide and len(splits) > 1:
            raise ConfigError(f"divide is for a single split, but there are {', '.join(splits)}; leave it out")
        grouped = bool(settings.get("group_by") or settings.get("group_pattern"))
        shares = divide or (HALVES if len(splits) == 1 else {})
        super().__init__(
            input_base=input_base,
            input_config=_input(splits),
            output_config=output_config or _output(shares, "image/group" if grouped else "image/key/sha256"),
            custom_config=_custom(settings),
            range_config=range_config,
        )


class CocoExampleGen(DetectionExampleGen):
    """Reads COCO instances JSON and its images into an Examples artifact."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(CocoExecutor)

    def __init__(
        self,
        input_base: str,
        splits: Mapping[str, str],
        image_folders: Mapping[str, str],
        max_bad_fraction: float,
        fingerprint: str,
        captions: Mapping[str, str] | None = None,
        masks: bool = False,
        group_by: str | None = None,
        group_pattern: str | None = None,
        divide: Mapping[str, int] | None = None,
        shard_images: int = SHARD_IMAGES,
        output_config: example_gen_pb2.Output | None = None,
        range_config: range_config_pb2.RangeConfig | None = None,
    ) -> None:
        """
        Args beyond DetectionExampleGen's:
          splits: per split the annotation file, which may be a glob.
          image_folders: per split the folder of its images, relative to `input_base`.
          fingerprint: `efficientdet.data.fingerprint.coco_fingerprint`.
          captions: per split, for those that have any, the captions file about the same images.
          masks: whether segmentations become PNG masks (`image/object/mask`).
          group_by: the field of an image's entry that says what it belongs with, as its video or patient.
          group_pattern: a regular expression whose first group, found in an image's file name, says so.
        """
        if set(splits) != set(image_folders):
            raise ConfigError(
                f"splits {sorted(splits)} and image folders {sorted(image_folders)} differ; give each split both"
            )
        settings = {
            "patterns": dict(splits),
            "image_folders": dict(image_folders),
            "captions": dict(captions or {}),
            "masks": masks,
            "group_by": group_by,
            "group_pattern": group_pattern,
            "shard_images": shard_images,
            "max_bad_fraction": max_bad_fraction,
            "fingerprint": fingerprint,
        }
        super().__init__(input_base, splits, settings, divide, output_config, range_config)


class VocExampleGen(DetectionExampleGen):
    """Reads a Pascal VOC folder into an Examples artifact."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(VocExecutor)

    def __init__(
        self,
        input_base: str,
        splits: Mapping[str, str],
        classes: Sequence[str] | None,
        max_bad_fraction: float,
        fingerprint: str,
        group_pattern: str | None = None,
        divide: Mapping[str, int] | None = None,
        shard_images: int = SHARD_IMAGES,
        output_config: example_gen_pb2.Output | None = None,
        range_config: range_config_pb2.RangeConfig | None = None,
    ) -> None:
        """
        Args beyond DetectionExampleGen's:
          input_base: the folder that holds Annotations, ImageSets and JPEGImages.
          splits: per split an image set, as `trainval` for ImageSets/Main/trainval.txt; or the path of the
            list, ending in `.txt` and relative to `input_base`, which may hold `{SPAN}` in front of ImageSets.
          classes: names in the order of their ids; the sorted names found in the XML when not given.
          fingerprint: `efficientdet.data.fingerprint.voc_fingerprint`.
          group_pattern: a regular expression whose first group, found in an image's file name, says what it belongs
            with.
        """
        settings = {
            "classes": list(classes) if classes is not None else None,
            "group_pattern": group_pattern,
            "shard_images": shard_images,
            "max_bad_fraction": max_bad_fraction,
            "fingerprint": fingerprint,
        }
        files = {split: image_set_file(name) for split, name in splits.items()}
        super().__init__(input_base, files, settings, divide, output_config, range_config)


def _input(splits: Mapping[str, str]) -> example_gen_pb2.Input:
    splits_proto = [example_gen_pb2.Input.Split(name=name, pattern=pattern) for name, pattern in splits.items()]
    return example_gen_pb2.Input(splits=splits_proto)


def _output(shares: Mapping[str, int], feature: str) -> example_gen_pb2.Output:
    """Input splits as they are without shares."""
    parts = [example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=share) for name, share in shares.items()]
    if not parts:
        return example_gen_pb2.Output()
    split_config = example_gen_pb2.SplitConfig(splits=parts, partition_feature_name=feature)
    return example_gen_pb2.Output(split_config=split_config)


def _custom(settings: Mapping[str, object]) -> example_gen_pb2.CustomConfig:
    struct = struct_pb2.Struct()
    struct.update(settings)
    config = example_gen_pb2.CustomConfig()
    config.custom_config.Pack(struct)
    return config
