"""The node goes through the splits of Examples with the file of a bundle that it is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tfx.types import channel_utils, standard_artifacts

from components.bulk_inferrer import read_detections
from components.bulk_inferrer.component import BulkInferrer, Executor
from efficientdet.errors import ModelError

Do = Callable[..., Path]


@pytest.fixture
def do(squares: Path, examples: str, tmp_path: Path) -> Do:
    """Runs the executor on a bundle with an int8 file and Examples of two splits; the folder of the result."""
    shutil.copytree(Path(examples).parent, tmp_path / "examples/Split-train")
    (tmp_path / "examples/Split-eval").mkdir()
    shutil.copy(tmp_path / "examples/Split-train/data-1.gz", tmp_path / "examples/Split-eval")
    (tmp_path / "bundle").mkdir()
    shutil.copy(squares, tmp_path / "bundle/model_int8.tflite")
    data, model = standard_artifacts.Examples(), standard_artifacts.Model()
    data.uri, model.uri, data.split_names = str(tmp_path / "examples"), str(tmp_path / "bundle"), '["train", "eval"]'

    def run(blessed: bool | None = None, **settings: Any) -> Path:
        node = BulkInferrer(channel_utils.as_channel([data]), channel_utils.as_channel([model]), **settings)
        result = standard_artifacts.InferenceResult()
        result.uri = str(tmp_path / "result")
        inputs = {"examples": [data], "model": [model]}
        if blessed is not None:
            blessing = standard_artifacts.ModelBlessing()
            blessing.set_int_custom_property("blessed", int(blessed))
            inputs["model_blessing"] = [blessing]
        context = Executor.Context(
            beam_pipeline_args=["--runner=FnApiRunner", "--sdk_container_image=none"],
            tmp_dir=str(tmp_path / "tmp"),
            unique_id="1",
        )
        Executor(context).Do(inputs, {"inference_result": [result]}, dict(node.exec_properties))
        return Path(result.uri)

    return run


def test_every_split_has_its_folder(do: Do) -> None:
    result = do(variant="int8", blessed=True)
    assert sorted(path.name for path in result.iterdir()) == ["Split-eval", "Split-train"]
    counts = {split: len(list(read_detections(result / f"Split-{split}"))) for split in ("train", "eval")}
    assert counts == {"train": 13, "eval": 6}


def test_some_splits_and_another_threshold(do: Do) -> None:
    result = do(variant="int8", splits=["eval"], score_threshold=0.999)
    assert [path.name for path in result.iterdir()] == ["Split-eval"]
    assert not [found for record in read_detections(result / "Split-eval") for found in record.get("detections", [])]


def test_what_is_not_blessed_or_not_there_is_refused(do: Do) -> None:
    with pytest.raises(ModelError, match="was not blessed"):
        do(variant="int8", blessed=False)
    with pytest.raises(ModelError, match="holds no variant 'float16'; there are float, int8"):
        do(variant="float16")
