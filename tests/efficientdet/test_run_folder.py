"""A folder belongs to the run that began in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from efficientdet.config import Config
from efficientdet.errors import ConfigError
from efficientdet.label_map import LabelMap
from efficientdet.run_folder import RunFolder

CONFIG, LABELS, SHARDS = Config(), LabelMap.from_names(["cat", "dog"]), {"/data/Split-train/a.gz": 10}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A folder that was claimed once."""
    folder = RunFolder(tmp_path / "new" / "run")
    folder.claim(CONFIG, LABELS, SHARDS)
    return folder


def begin(run: RunFolder) -> None:
    run.checkpoints.mkdir()
    for step in (200, 1000):
        (run.checkpoints / f"step-{step}.index").touch()


def test_what_is_trained_is_written_down(run: RunFolder) -> None:
    assert Config.load(run.path / "config.yaml") == CONFIG
    assert LabelMap.load(run.path) == LABELS
    assert sorted(path.name for path in run.path.iterdir()) == [
        ".lock",
        "config.yaml",
        "examples.json",
        "label_map.json",
    ]
    assert (run.steps, run.begun) == (0, False)
    begin(run)
    assert (run.steps, run.begun) == (1000, True)


def test_the_same_run_goes_on_wherever_its_data_lie(run: RunFolder) -> None:
    begin(run)
    run.claim(CONFIG, LABELS, {"gs://bucket/Split-train/a.gz": 10})


def test_what_never_began_may_be_corrected(run: RunFolder) -> None:
    other = CONFIG.override("training.epochs=5")
    run.claim(other, LABELS, SHARDS)
    assert Config.load(run.path / "config.yaml") == other


@pytest.mark.parametrize(
    ("config", "labels", "shards", "says"),
    [
        (
            CONFIG.override("training.seed=5"),
            LABELS,
            SHARDS,
            "config.yaml: is of another run (training.seed is 0 there",
        ),
        (CONFIG, LabelMap.from_names(["cat"]), SHARDS, "label_map.json: is of another run; name another folder"),
        (CONFIG, LABELS, {"/data/Split-train/a.gz": 9}, "(Split-train/a.gz is 10 there, 9 here)"),
    ],
)
def test_another_run_is_refused(
    run: RunFolder, config: Config, labels: LabelMap, shards: dict[str, int], says: str
) -> None:
    begin(run)
    with pytest.raises(ConfigError, match=re.escape(says)):
        run.claim(config, labels, shards)
    assert Config.load(run.path / "config.yaml") == CONFIG


def test_a_run_may_go_on_for_longer_and_elsewhere(run: RunFolder) -> None:
    begin(run)
    longer = CONFIG.override(
        "training.epochs=500,training.eval_epochs=1,training.strategy=gpus,export.formats=saved_model"
    )
    run.claim(longer, LABELS, SHARDS)
    assert Config.load(run.path / "config.yaml") == longer


def test_a_finished_run_without_its_config_is_no_place_to_train(run: RunFolder) -> None:
    run.detector.mkdir()
    (run.path / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="is of another run"):
        run.claim(CONFIG, LABELS, SHARDS)


@pytest.mark.parametrize("text", ["model_name: efficientdet-d0\n", "{", "\x00"])
def test_files_of_someone_else_stay(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match="is of another run"):
        RunFolder(tmp_path).claim(CONFIG, LABELS, SHARDS)
    assert (tmp_path / "config.yaml").read_text() == text


def test_a_released_folder_can_be_claimed_by_others(run: RunFolder) -> None:
    run.claim(CONFIG, LABELS, SHARDS)
    with pytest.raises(ConfigError, match="another process is at work here"):
        RunFolder(run.path).claim(CONFIG, LABELS, SHARDS)
    run.close()
    other = RunFolder(run.path)
    other.claim(CONFIG, LABELS, SHARDS)
    other.close()
    other.close()
