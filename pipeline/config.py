"""Every setting of the pipeline: what data, which detector, what is good enough, and where it runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from efficientdet.blessing import Bounds
from efficientdet.config import Config
from efficientdet.errors import ConfigError, RegistryError
from efficientdet.infra_blessing import Infra
from efficientdet.registry import CHAMPION, open_registry
from efficientdet.search_space import Tuning
from efficientdet.settings import Settings
from efficientdet.validation import Validation
from pipeline.beam import BeamConfig
from pipeline.cluster import ClusterConfig
from pipeline.metadata_uri import FORM, PASSWORDS, SQLITE, database
from pipeline.schedule import ScheduleConfig

JUDGED = ("saved_model", "tflite_int8")
"""The formats that every bundle has."""


def _one_group(pattern: str | None) -> str | None:
    """A regular expression with one group."""
    try:
        if pattern is not None and re.compile(pattern).groups != 1:
            raise ValueError(f"{pattern!r} must have one group in parentheses, as in '^(video[0-9]+)_'")
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression ({error})") from error
    return pattern


_ONLY_FOR = {
    "images": ("coco",),
    "captions": ("coco",),
    "group_by": ("coco",),
    "masks": ("coco", "tfod"),
    "classes": ("voc",),
    "annotations": ("csv",),
    "label_map": ("tfod",),
}


class SourceConfig(Settings):
    """The annotated images."""

    format: Literal["coco", "voc", "csv", "yolo", "tfod"] = Field(
        description="COCO instances JSON, Pascal VOC XML with ImageSets, AutoML's CSV, a YOLO folder, or TF Object"
        " Detection API TFRecords."
    )
    path: str = Field(description="Folder of the data set; for VOC the one with Annotations, ImageSets, JPEGImages.")
    splits: dict[str, str] = Field(
        description="`train` and `eval`, or one split to divide: the annotation file (COCO, relative to path; it may"
        " hold {SPAN} and {VERSION}), the image set (VOC), TRAIN, VALIDATION or TEST (CSV), train, val or test (YOLO),"
        " or a glob of TFRecords."
    )
    annotations: str = Field("", description="CSV: the file, relative to path.")
    label_map: str | None = Field(None, description="TFRecords: label_map.pbtxt, relative to path; none: their texts.")
    divide: dict[str, Annotated[int, Field(gt=0)]] | None = Field(
        None, description="Shares of a single split, as {train: 8, eval: 2}, dealt out by image or group."
    )
    group_by: str | None = Field(
        None, description="COCO: field of an image's entry (a video, a patient); a group is never divided."
    )
    group_pattern: Annotated[str | None, AfterValidator(_one_group)] = Field(
        None, description="Regular expression whose one group, found in the file name, names the image's group."
    )
    images: dict[str, str] = Field(default_factory=dict, description="COCO: folder of each split's images.")
    captions: dict[str, str] = Field(default_factory=dict, description="COCO: captions file of each split.")
    masks: bool = Field(False, description="COCO, TFRecords: carry segmentations as PNG masks.")
    classes: tuple[str, ...] | None = Field(None, description="VOC: class names in order; none: those found, sorted.")
    shard_images: int = Field(
        256, gt=0, description="Images in one file of examples at most, up to 1024 files a split."
    )
    max_bad_fraction: float = Field(0.01, ge=0, le=1, description="Records that may be dropped before the run stops.")

    @model_validator(mode="after")
    def _complete(self) -> SourceConfig:
        if self.divide and len(self.splits) > 1:
            raise ValueError(f"source.divide is for a single split, but source.splits has {len(self.splits)}")
        for split in ("train", "eval"):
            if split not in (self.divide or self.splits):
                where = "source.divide" if self.divide else "source.splits"
                raise ValueError(f"{where} names no {split!r} split; give both train and eval")
        for name, formats in _ONLY_FOR.items():
            if getattr(self, name) and self.format not in formats:
                raise ValueError(f"source.{name} is for {' and '.join(formats)}, not for {self.format}; leave it out")
        if self.format == "csv" and not self.annotations:
            raise ValueError("source.annotations must name the CSV, relative to source.path")
        if self.format == "coco" and set(self.images) != set(self.splits):
            odd = min(set(self.images) ^ set(self.splits))
            raise ValueError(f"source.splits and source.images must name the same splits; only one has {odd!r}")
        if set(self.captions) - set(self.splits):
            odd = min(set(self.captions) - set(self.splits))
            raise ValueError(f"source.captions names {odd!r}, which source.splits does not")
        return self


class RegistryConfig(Settings):
    """Where blessed models go."""

    uri: str = Field(
        "runs/registry",
        min_length=1,
        description="Folder of an embedded registry, an MLflow server's http(s) address, or vertex://PROJECT/LOCATION.",
    )
    name: str = Field(description="Registered model's name.")
    alias: str = Field(
        CHAMPION,
        description="Alias that moves to a pushed model: champion, candidate (`promote` makes it champion) or a word.",
    )

    @model_validator(mode="after")
    def _publishable(self) -> RegistryConfig:
        # not a field's validator: its errors would show a password in the address that it refuses
        try:
            open_registry(self.uri).check(self.name, self.alias)
        except RegistryError as error:
            raise ValueError(f"registry: {str(error).removeprefix('registry ')}") from error
        return self


class CardConfig(Settings):
    """What only its owner can say of a model; it stands on the model's card and page."""

    purpose: str = Field("", max_length=2000, description="What it is for.")
    limits: str = Field("", max_length=2000, description="What it must not be used for.")
    license: str = Field("", max_length=200, description="Under what license it may be used, as Apache-2.0.")

    @property
    def tags(self) -> dict[str, str]:
        """What is said, by tag of the registered version."""
        return {name: text for name, text in self.to_dict().items() if text}


class PipelineConfig(Settings):
    """The whole pipeline; `create_pipeline` turns it into TFX nodes, whatever the engine."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="Pipeline's name: lower case, digits, hyphens.")
    root: str = Field(
        min_length=1,
        pattern=r"^[^\[\]*?]+$",
        description="Folder of artifacts, metadata and checkpoints of local runs; without [ ] * ?, Beam's wildcards.",
    )
    metadata: str = Field(
        SQLITE,
        description=f"Metadata of local runs: {SQLITE}, a file in root; or a team's, {FORM}, with the password in"
        f" {' or '.join(PASSWORDS.values())}.",
    )
    source: SourceConfig
    schema_source: Literal["imported", "inferred"] = Field(
        "imported", description="The product's schema of detection records, or one inferred from statistics."
    )
    validation: Validation = Field(default_factory=Validation)
    detector: Config = Field(default_factory=Config)
    tuning: Tuning = Field(default_factory=Tuning)
    blessing: Bounds = Field(default_factory=Bounds)
    infra: Infra = Field(default_factory=Infra)
    registry: RegistryConfig
    card: CardConfig = Field(default_factory=CardConfig)
    beam: BeamConfig = Field(default_factory=BeamConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)

    @model_validator(mode="after")
    def _recordable(self) -> PipelineConfig:
        database(self.metadata)  # not a field's validator: its errors would show the password that it refuses
        return self

    @model_validator(mode="after")
    def _searchable(self) -> PipelineConfig:
        try:
            if self.tuning.trials:
                self.tuning.check(self.detector)
        except ConfigError as error:
            raise ValueError(f"tuning: {str(error).removeprefix('override: ')}") from error
        return self

    @model_validator(mode="after")
    def _judgeable(self) -> PipelineConfig:
        export = self.detector.export
        for name in JUDGED:
            if name not in export.formats:
                raise ValueError(f"detector.export.formats has no {name}, which the pipeline judges; add it")
        if export.pre_mode is None or export.post_mode in (None, "tflite"):
            raise ValueError(
                "detector.export.pre_mode and post_mode: the pipeline judges a SavedModel that finds objects in "
                "pictures; leave them out, and write others with `efficientdet export`"
            )
        return self

    @model_validator(mode="after")
    def _pullable(self) -> PipelineConfig:
        own = any(arg.startswith("--sdk_container_image") for arg in self.beam.args)
        if self.beam.runner == "DataflowRunner" and "/" not in self.cluster.image and not own:
            raise ValueError(
                f"beam.runner=DataflowRunner pulls cluster.image={self.cluster.image!r} from a registry;"
                " name the image with its registry, as in europe-docker.pkg.dev/my-project/images/efficientdet:1"
            )
        return self


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> PipelineConfig:
    """The pipeline of a YAML file with `key.sub=value` overrides; local paths become absolute."""
    config = PipelineConfig.load(path, overrides)
    uri = config.registry.uri
    absolute: dict[str, Any] = {"root": _absolute(config.root), "source": {"path": _absolute(config.source.path)}}
    if "://" not in uri:
        absolute["registry"] = {"uri": _absolute(uri)}
    return config.override(absolute)


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())
