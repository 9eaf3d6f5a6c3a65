"""What training starts from is looked for before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from efficientdet.config import ModelConfig
from efficientdet.errors import ConfigError, ModelError
from efficientdet.initial_weights import check_initial_weights, checkpoint_files, initial_files


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A TensorFlow checkpoint of a name with wildcards, beside a later one."""
    for number in (1, 10):
        for part in ("index", "data-00000-of-00001"):
            (tmp_path / f"model[*]-{number}.{part}").write_text(f"{number} {part}")
    return tmp_path / "model[*]-1"


def test_files_of_a_checkpoint(prefix: Path, tmp_path: Path) -> None:
    parts = {"index": Path(f"{prefix}.index"), "data-00000-of-00001": Path(f"{prefix}.data-00000-of-00001")}
    assert checkpoint_files(prefix) == checkpoint_files(f"{prefix}.index") == parts
    assert checkpoint_files(tmp_path / "model[*]") == checkpoint_files(tmp_path / "none" / "model") == {}
    module = tmp_path / "module"
    (module / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index"):
        (module / name).touch()
    assert list(checkpoint_files(module)) == ["saved_model.pb", "variables/variables.index"]
    assert checkpoint_files(module / "saved_model.pb") == checkpoint_files(module)
    shutil.copyfile(f"{prefix}.index", tmp_path / "d0.h5")
    assert checkpoint_files(tmp_path / "d0.h5") == {".h5": tmp_path / "d0.h5"}


def test_what_counts_is_what_training_starts_from(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("1: cat")
    both = ModelConfig(
        weights=str(prefix), backbone_weights=str(tmp_path), weights_classes=str(tmp_path / "classes.yaml")
    )
    assert set(initial_files(both)) == {"index", "data-00000-of-00001", "classes"}
    assert set(initial_files(ModelConfig(weights=str(prefix), weights_classes="coco"))) == {
        "index",
        "data-00000-of-00001",
    }
    for nothing in ("imagenet", None, "gs://bucket/ckpt", "https://tfhub.dev/d0/1"):
        assert initial_files(ModelConfig(backbone_weights=nothing)) == {}


def test_what_is_at_hand_or_far_away_passes(prefix: Path) -> None:
    for settings in (
        {"weights": str(prefix), "name": "efficientdet-d0"},  # for which no ImageNet weights are packaged
        {"weights": "gs://bucket/ckpt", "weights_classes": {1: "cat"}},
        {"backbone_weights": str(prefix), "weights_classes": "none.yaml"},
        {"backbone_weights": None, "name": "efficientdet-d0"},
    ):
        check_initial_weights(ModelConfig(**settings))


def test_what_is_missing_is_named(prefix: Path, tmp_path: Path) -> None:
    for settings, error, says in (
        ({"weights": "none/ckpt"}, ModelError, "none/ckpt: there is no checkpoint, which model.weights names"),
        ({"backbone_weights": "none"}, ModelError, "none: there is no checkpoint, which model.backbone_weights names"),
        ({"weights": str(tmp_path / "empty")}, ModelError, "there is no checkpoint"),
        ({"weights": str(prefix), "weights_classes": "none.yaml"}, ConfigError, "none.yaml: neither a label map file"),
        ({"name": "efficientdet-d0"}, ModelError, "efficientnet-b0: ImageNet weights are packaged for"),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(error, match=says):
            check_initial_weights(ModelConfig(**settings))
