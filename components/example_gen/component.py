"""CocoExampleGen and VocExampleGen: what they take; `executor.py` says how they do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf import struct_pb2
from tfx.components import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2, range_config_pb2

from components.example_gen.executor import CocoExecutor, VocExecutor
from efficientdet.data.voc import image_set_file
from efficientdet.errors import ConfigError


class CocoExampleGen(FileBasedExampleGen):
    """Reads COCO instances JSON and its images into an Examples artifact.

    The artifact holds, per split, gzipped TFRecords of the keys in schemas/detection.pbtxt, and beside
    them `label_map.json` (its hash is the artifact's property `label_map_hash`) and `ledger.json`.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(CocoExecutor)

    def __init__(
        self,
        input_base: str,
        splits: Mapping[str, str],
        image_folders: Mapping[str, str],
        max_bad_fraction: float,
        fingerprint: str,
        output_config: example_gen_pb2.Output | None = None,
        range_config: range_config_pb2.RangeConfig | None = None,
    ) -> None:
        """
        Args:
          input_base: the data folder; no image may lie outside of it.
          splits: per split the annotation file, relative to `input_base`; it may be a glob and may hold
            `{SPAN}`. A single split is divided 2:1 into train and eval, by image content.
          image_folders: per split the folder of its images, relative to `input_base`.
          max_bad_fraction: 0..1, the part of images, and of boxes, that may be dropped.
          fingerprint: `efficientdet.data.fingerprint.coco_fingerprint`; another one runs the step again.
          output_config: TFX's own way to divide a single split.
          range_config: which span to read where `splits` hold `{SPAN}`; the latest when not given.
        """
        if set(splits) != set(image_folders):
            raise ConfigError(
                f"splits {sorted(splits)} and image folders {sorted(image_folders)} differ; give each split both"
            )
        settings = {
            "image_folders": dict(image_folders),
            "max_bad_fraction": max_bad_fraction,
            "fingerprint": fingerprint,
        }
        super().__init__(
            input_base=input_base,
            input_config=_input(splits),
            output_config=output_config or _output(splits),
            custom_config=_custom(settings),
            range_config=range_config,
        )


class VocExampleGen(FileBasedExampleGen):
    """Reads a Pascal VOC folder into an Examples artifact, laid out as CocoExampleGen's."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(VocExecutor)

    def __init__(
        self,
        input_base: str,
        splits: Mapping[str, str],
        classes: Sequence[str] | None,
        max_bad_fraction: float,
        fingerprint: str,
        output_config: example_gen_pb2.Output | None = None,
        range_config: range_config_pb2.RangeConfig | None = None,
    ) -> None:
        """
        Args:
          input_base: the folder that holds Annotations, ImageSets and JPEGImages.
          splits: per split an image set, as `trainval` for ImageSets/Main/trainval.txt; or the path of the
            list, ending in `.txt` and relative to `input_base`, which may hold `{SPAN}` in front of ImageSets.
            A single split is divided 2:1 into train and eval, by image content.
          classes: names in the order of their ids; the sorted names found in the XML when not given.
          max_bad_fraction: 0..1, the part of images, and of boxes, that may be dropped.
          fingerprint: `efficientdet.data.fingerprint.voc_fingerprint`; another one runs the step again.
          output_config: TFX's own way to divide a single split.
          range_config: which span to read where `splits` hold `{SPAN}`; the latest when not given.
        """
        settings = {
            "classes": list(classes) if classes is not None else None,
            "max_bad_fraction": max_bad_fraction,
            "fingerprint": fingerprint,
        }
        super().__init__(
            input_base=input_base,
            input_config=_input({split: image_set_file(name) for split, name in splits.items()}),
            output_config=output_config or _output(splits),
            custom_config=_custom(settings),
            range_config=range_config,
        )


def _input(splits: Mapping[str, str]) -> example_gen_pb2.Input:
    splits_proto = [example_gen_pb2.Input.Split(name=name, pattern=pattern) for name, pattern in splits.items()]
    return example_gen_pb2.Input(splits=splits_proto)


def _output(splits: Mapping[str, str]) -> example_gen_pb2.Output:
    """Input splits as they are; a single one 2:1 by image content, so that copies of an image stay together."""
    if len(splits) > 1:
        return example_gen_pb2.Output()
    parts = [example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=n) for name, n in (("train", 2), ("eval", 1))]
    split_config = example_gen_pb2.SplitConfig(splits=parts, partition_feature_name="image/key/sha256")
    return example_gen_pb2.Output(split_config=split_config)


def _custom(settings: Mapping[str, object]) -> example_gen_pb2.CustomConfig:
    struct = struct_pb2.Struct()
    struct.update(settings)
    config = example_gen_pb2.CustomConfig()
    config.custom_config.Pack(struct)
    return config
