"""What the tests of example generation run it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tfx.dsl.components.base.base_component import BaseComponent

HERE = ("--runner=FnApiRunner", "--sdk_container_image=none")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Runs a one-node pipeline, on this process unless told otherwise; the folder of its newest Examples artifact."""
    from ml_metadata.metadata_store import MetadataStore
    from tfx import v1 as tfx
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    from efficientdet.label_map import LabelMap

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
    from efficientdet.data.demo import write_demo_data

    write_demo_data(tmp_path / "demo", images={"train": 6, "eval": 3})
    return tmp_path / "demo"
