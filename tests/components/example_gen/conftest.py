"""Example generation as one node of a pipeline, on TFX's local runner and Beam's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from ml_metadata.metadata_store import MetadataStore
from tfx import v1 as tfx
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.metadata import sqlite_metadata_connection_config

from efficientdet.data.demo import write_demo_data
from efficientdet.label_map import LabelMap

# Without the name of an image TFX packs its own sources for the workers of each run.
HERE = ("--runner=FnApiRunner", "--sdk_container_image=none")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Runs a one-node pipeline, in this process unless told otherwise; the folder of its newest Examples artifact."""

    def apply(component: BaseComponent, beam_args: Sequence[str] = HERE) -> Path:
        config = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="examples",
            pipeline_root=str(tmp_path / "root"),
            metadata_connection_config=config,
            components=[component],
            enable_cache=True,
            beam_pipeline_args=list(beam_args),
        )
        tfx.orchestration.LocalDagRunner().run(pipeline)
        newest = max(MetadataStore(config).get_artifacts_by_type("Examples"), key=lambda artifact: artifact.id)
        folder = Path(newest.uri)
        assert newest.custom_properties["label_map_hash"].string_value == LabelMap.load(folder).hash
        return folder

    return apply


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """Six images of digits to learn from, three to judge by."""
    write_demo_data(tmp_path / "demo", images={"train": 6, "eval": 3})
    return tmp_path / "demo"


@pytest.fixture(scope="session")
def records() -> Callable[[Path, str], dict[str, Any]]:
    """tf.Example features by file name, from every shard of a split."""

    def read(folder: Path, split: str) -> dict[str, Any]:
        shards = sorted(str(path) for path in (folder / f"Split-{split}").glob("data_tfrecord-?????-of-?????.gz"))
        assert shards
        found = {}
        for record in tf.data.TFRecordDataset(shards, "GZIP").as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            found[features["image/filename"].bytes_list.value[0].decode()] = features
        return found

    return read
