"""What TensorBoard is told, read back from its files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from efficientdet.training_log import LOG_STEPS, TrainingLog


def read(folder: Path) -> dict[str, dict[int, np.ndarray]]:
    """Tag to step to value."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for path in folder.glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return found


def opened(folder: Path | None, steps: int = 30) -> TrainingLog:
    rate = SimpleNamespace(learning_rate=0.25)
    return TrainingLog(folder, SimpleNamespace(optimizer=rate, steps=steps))


def history(count: int) -> dict[str, np.ndarray]:
    steps = np.arange(count, dtype=np.float32)
    return {"total": steps, "gradient_norm": 2 * steps, "positives_p3": steps * 0 + 5, "positives_p4": steps * 0 + 2}


def test_some_steps_and_the_last_are_logged(tmp_path: Path):
    log = opened(tmp_path)
    log.losses(1, history(25))
    log.losses(26, history(5))
    log.pictures(30, np.zeros([1, 4, 4, 3], np.uint8))
    found = read(tmp_path)
    assert {step: float(value) for step, value in found["loss/total"].items()} == {LOG_STEPS: 19.0, 30: 4.0}
    assert float(found["gradient_norm"][30]) == 8
    assert float(found["learning_rate"][30]) == 0.25
    assert found["detections"][30][0] == b"4"


def test_anchors_by_level_are_a_histogram_of_levels(tmp_path: Path):
    log = opened(tmp_path, steps=1)
    log.losses(1, history(1))
    log.pictures(1, np.zeros([1, 4, 4, 3], np.uint8))
    buckets = read(tmp_path)["positive_anchors_by_level"][1]
    assert buckets[:, 2].tolist() == [5, 2]
    assert (buckets[0, 0], buckets[-1, 1]) == (3, 4)


def test_scores_that_nothing_makes_are_left_out(tmp_path: Path):
    log = opened(tmp_path)
    log.scores(10, {"AP": 0.5, "APl": None})
    log.pictures(10, np.zeros([1, 4, 4, 3], np.uint8))
    found = read(tmp_path)
    assert float(found["eval/AP"][10]) == 0.5
    assert "eval/APl" not in found


def test_without_a_folder_nothing_is_written(tmp_path: Path):
    log = opened(None)
    log.losses(1, history(20))
    log.scores(20, {"AP": 0.5})
    log.profile(0, (1, 2))
    assert not list(tmp_path.iterdir())


def test_a_profile_is_recorded_once(tmp_path: Path):
    log = opened(tmp_path)
    for step in (0, 1, 2, 3):
        log.profile(step, (2, 3))
        tf.reduce_sum(tf.ones([8, 8]))
    assert list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))
    log.profile(3, (2, 3))


def test_a_profile_that_a_run_breaks_off_is_recorded(tmp_path: Path):
    for name in ("first", "second"):  # the profiler is one of the whole process
        log = opened(tmp_path / name)
        log.profile(1, (2, 30))
        tf.reduce_sum(tf.ones([8, 8]))
        log.close()
        log.close()
        assert list((tmp_path / name).glob("plugins/profile/*/*.xplane.pb"))
