"""Checkpoints come whole or not at all, the last few stay, and the best."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.errors import ConfigError, ModelError
from efficientdet.training_state import StateFolder


def variables(value: float = 0.0) -> dict[str, tf.Variable]:
    return {"net/kernel": tf.Variable([[value, value]]), "global_step": tf.Variable(int(value), dtype=tf.int64)}


def opened(folder: Path, value: float = 0.0, keep: int = 2, writes: bool = True) -> tuple[StateFolder, dict]:
    state = variables(value)
    return StateFolder(folder, state, keep, writes), state


def saved(folder: Path, *steps: int) -> None:
    saves, state = opened(folder)
    for step in steps:
        state["net/kernel"].assign([[step, -step]])
        state["global_step"].assign(step)
        saves.save(step)
    saves.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


@pytest.mark.parametrize("name", ["run", "läuft gut"])
def test_the_newest_comes_back(tmp_path: Path, name: str):
    folder = tmp_path / name
    saved(folder, 2, 10)
    saves, state = opened(folder)
    assert saves.restore() == 10
    np.testing.assert_array_equal(state["net/kernel"], [[10, -10]])
    assert state["global_step"].numpy() == 10


def test_the_last_few_stay(tmp_path: Path):
    (tmp_path / "step-1.data-00000-of-00001.tempstate123").touch()  # of a process that was killed
    saved(tmp_path, 2, 10, 9)
    assert names(tmp_path) == [f"step-{n}.{part}" for n in (10, 9) for part in ("data-00000-of-00001", "index")]
    saves, _ = opened(tmp_path, keep=1)
    saves.save(11)
    assert names(tmp_path) == ["step-11.data-00000-of-00001", "step-11.index"]


@pytest.mark.parametrize("name", ["run[1]", "run*", "a?b"])
def test_what_tensorflow_takes_for_a_pattern_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match="for a pattern; name another folder"):
        opened(tmp_path / name)


def test_an_empty_folder_is_a_beginning(tmp_path: Path):
    saves, _ = opened(tmp_path / "new")
    assert saves.restore() is None
    assert saves.restore_best() is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "empty index"])
def test_damage_falls_back_to_the_one_before(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture):
    saved(tmp_path, 2, 4)
    data, index = tmp_path / "step-4.data-00000-of-00001", tmp_path / "step-4.index"
    content = bytearray(data.read_bytes())
    if damage == "cut":
        data.write_bytes(content[:3])
    elif damage == "flipped":
        content[0] ^= 1
        data.write_bytes(content)
    elif damage == "missing":
        data.unlink()
    else:
        index.write_bytes(b"")
    saves, state = opened(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert saves.restore() == 2
    assert "step-4: cannot be read" in caplog.text
    np.testing.assert_array_equal(state["net/kernel"], [[2, -2]])


def test_when_none_can_be_read_the_run_does_not_begin_anew(tmp_path: Path):
    saved(tmp_path, 2)
    (tmp_path / "step-2.data-00000-of-00001").unlink()
    with pytest.raises(ModelError, match="none of the 1 checkpoints can be read; remove them to begin anew"):
        opened(tmp_path)[0].restore()


def test_another_network_is_not_loaded(tmp_path: Path):
    saved(tmp_path, 2)
    state = {"net/kernel": tf.Variable([1.0, 2.0, 3.0]), "global_step": tf.Variable(0, dtype=tf.int64)}
    with pytest.raises(ModelError):
        StateFolder(tmp_path, state, 2).restore()
    np.testing.assert_array_equal(state["net/kernel"], [1, 2, 3])


def test_the_best_is_the_first_of_the_highest(tmp_path: Path):
    saves, state = opened(tmp_path)
    found = []
    for step, ap in enumerate([None, 0.1, 0.3, 0.3, 0.2], start=1):
        state["net/kernel"].assign([[step, step]])
        found.append(saves.add_scores(step, {"AP": ap}))
        saves.save(step)
    assert found == [False, True, True, False, False]
    assert saves.looks_since_best() == 2
    assert [path.name for path in tmp_path.glob("best-*.index")] == ["best-3.index"]
    saves.close()
    again, state = opened(tmp_path)
    again.restore()
    assert again.restore_best() == 3
    np.testing.assert_array_equal(state["net/kernel"], [[3, 3]])


def test_a_disk_that_is_full_is_named_and_left_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    saved(tmp_path, 2)

    def full(prefix: str, **_: object) -> None:
        Path(f"{prefix}.data-00000-of-00001.tempstate1").write_bytes(b"half")
        raise tf.errors.ResourceExhaustedError(None, None, f"{{{{node SaveV2}}}} {prefix}; No space left on device")

    monkeypatch.setattr(tf.raw_ops, "SaveV2", full)
    saves, _ = opened(tmp_path)
    with pytest.raises(ModelError, match=r"step 4 cannot be written \(.*No space left.*; \d+ MB are free\); make room"):
        saves.save(4)
    assert names(tmp_path) == ["step-2.data-00000-of-00001", "step-2.index"]


def test_a_best_that_is_gone_or_damaged_is_named(tmp_path: Path):
    saves, _ = opened(tmp_path)
    saves.add_scores(1, {"AP": 0.5})
    (tmp_path / "best-1.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(ModelError, match=r"best-1: cannot be read .*; set training.result=last"):
        saves.restore_best()
    (tmp_path / "best-1.index").unlink()
    with pytest.raises(ModelError, match=r"best-1: cannot be read .*; set training.result=last"):
        saves.restore_best()


def test_scores_that_cannot_be_read_are_measured_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    saves, _ = opened(tmp_path)
    saves.save(1)
    saves.add_scores(1, {"AP": 0.5})
    saves.close()
    with (tmp_path / "scores.jsonl").open("a") as file:
        file.write('{"step": 2, "A')
    again, _ = opened(tmp_path)
    assert again.restore() == 1
    assert "scores.jsonl: cannot be read" in caplog.text
    assert again.scores == {}
    assert not list(tmp_path.glob("best-*")), "nobody knows what it was the best of"


def test_scores_after_the_checkpoint_are_measured_again(tmp_path: Path):
    saves, _ = opened(tmp_path)
    saves.add_scores(1, {"AP": 0.1})
    saves.save(2)
    saves.add_scores(3, {"AP": 0.3})
    saves.close()
    again, _ = opened(tmp_path)
    assert again.restore() == 2
    assert again.scores == {1: {"AP": 0.1}}


def test_a_second_process_is_refused_and_a_reader_writes_nothing(tmp_path: Path):
    _, _ = first = opened(tmp_path / "run")
    with pytest.raises(ConfigError, match="another process is at work here"):
        opened(tmp_path / "run")
    first[0].close()
    reader, _ = opened(tmp_path / "other", writes=False)
    reader.save(1)
    reader.add_scores(1, {"AP": 0.5})
    assert not (tmp_path / "other").exists()
