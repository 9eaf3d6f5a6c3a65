"""Training runs, resumes exactly, starts from checkpoints and stops when it diverges."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.checkpoint import load_detector, save_detector
from efficientdet.config import Config, DataConfig, TrainingConfig
from efficientdet.data.input_pipeline import read_records, step_ids
from efficientdet.errors import ConfigError, DataError, ModelError, PreemptedError
from efficientdet.evaluate import Evaluation
from efficientdet.label_map import Label, LabelMap
from efficientdet.model.detector import build_detector
from efficientdet.train import TRANSFER_FILE, check_classes, total_steps, train
from efficientdet.training_loop import TrainingLoop

TINY = Config().override(
    "model.image_size=64,model.backbone_weights=null,training.batch_size=2,training.max_steps=4,"
    "training.checkpoint_steps=2,training.learning_rate=0.1,training.warmup_epochs=0,"
    "model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1,model.max_level=5,training.eval_epochs=0,training.preflight=false"
)


def run(shards: Path, folder: Path, config: Config = TINY):
    patterns = [str(shards / f"Split-{split}/*") for split in ("train", "eval")]
    return train(config, LabelMap.load(shards), *patterns, checkpoints=folder / "ckpt", logs=folder / "logs")


def test_a_damaged_checkpoint_falls_back_to_the_one_before(digit_shards, tmp_path, caplog):
    unbroken = run(digit_shards, tmp_path)
    # What a kill after step 3 may leave: the checkpoint of step 2, and half of the next one.
    assert sorted(path.name for path in (tmp_path / "ckpt").glob("*.index")) == ["step-2.index", "step-4.index"]
    data = tmp_path / "ckpt/step-4.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with caplog.at_level(logging.INFO):
        resumed = run(digit_shards, tmp_path)
    assert "step-4: cannot be read" in caplog.text
    assert "damaged checkpoint skipped" in caplog.text
    assert "going on from step 2" in caplog.text
    # The seeds of stochastic depth included, which lite0 trains with.
    for one, other in zip(unbroken.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    assert list((tmp_path / "logs").glob("events.*"))

    save_detector(tmp_path / "detector", resumed, TINY, LabelMap.load(digit_shards))
    loaded, config, label_map = load_detector(tmp_path / "detector")
    assert config == TINY
    assert label_map == LabelMap.load(digit_shards)
    for one, other in zip(resumed.variables, loaded.variables, strict=True):
        if "seed_generator" not in one.path:
            np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_the_best_by_ap_is_kept_and_returned(digit_shards, tmp_path, caplog):
    """Four looks at the AP, on which the last weights need not be best; then the run stops for lack of progress."""
    config = TINY.override(
        "training.eval_epochs=0.17,training.result=best,training.patience=2,training.max_steps=8,training.steps_per_execution=3"
    )
    with caplog.at_level(logging.INFO):
        best = run(digit_shards, tmp_path, config)
    entries = [json.loads(line) for line in (tmp_path / "ckpt/scores.jsonl").read_text().splitlines()]
    aps = [entry["AP"] for entry in entries]
    first_best = entries[aps.index(max(aps))]["step"]
    assert [path.name for path in (tmp_path / "ckpt").glob("best-*.index")] == [f"best-{first_best}.index"]
    if "no better AP in 2 looks" in caplog.text:
        assert len(aps) - 1 - aps.index(max(aps)) == 2
    else:
        assert entries[-1]["step"] == 8
    scores = Evaluation(best, config, LabelMap.load(digit_shards), str(digit_shards / "Split-eval/*"))()
    assert scores.images == 4
    assert scores.metrics["AP"] == pytest.approx(max(aps), abs=1e-6)


def test_a_run_that_has_stopped_early_stays_as_it_is(digit_shards, tmp_path, caplog):
    """At so small a rate no look is better than the first, and the second ends it."""
    config = TINY.override(
        "training.learning_rate=1e-12,training.moving_average=0,training.eval_epochs=0.17,training.patience=1,"
        "training.max_steps=8"
    )
    with caplog.at_level(logging.INFO):
        first = run(digit_shards, tmp_path, config)
    stopped = newest(tmp_path)
    assert stopped < 8
    assert "no better AP in 1 looks" in caplog.text
    again = run(digit_shards, tmp_path, config)
    assert newest(tmp_path) == stopped
    for one, other in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_sigterm_saves_what_is_due_later(digit_shards, tmp_path, monkeypatch):
    go = TrainingLoop._go

    def and_then_sigterm(loop: TrainingLoop, batches: object, step: int) -> tuple[int, float]:
        reached = go(loop, batches, step)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return reached

    monkeypatch.setattr(TrainingLoop, "_go", and_then_sigterm)
    with pytest.raises(PreemptedError, match="step 3: stopped by SIGTERM, everything is saved; the same command"):
        run(digit_shards, tmp_path, TINY.override("training.checkpoint_steps=1000"))
    assert newest(tmp_path) == 3


def test_a_run_keeps_its_parts_until_it_is_told_others(digit_shards, tmp_path):
    """`auto` would take one part here, the memory being ample."""
    noted = []
    for steps, parts in ((2, 1), (4, 2), (6, "auto")):
        run(digit_shards, tmp_path, TINY.override({"training": {"max_steps": steps, "accumulate": parts}}))
        noted.append(int(tf.train.load_checkpoint(str(tmp_path / f"ckpt/step-{steps}")).get_tensor("parts")))
    assert noted == [1, 2, 2]


def newest(folder: Path) -> int:
    return max(int(path.stem.removeprefix("step-")) for path in (folder / "ckpt").glob("step-*.index"))


def test_an_image_that_is_none_is_named(digit_shards, tmp_path):
    """Its bytes are cut, which only decoding shows."""
    broken = tmp_path / "shards"
    shutil.copytree(digit_shards / "Split-eval", broken / "Split-eval")
    shutil.copy(digit_shards / "label_map.json", broken)
    (broken / "Split-train").mkdir()
    for shard in (digit_shards / "Split-train").iterdir():
        with tf.io.TFRecordWriter(str(broken / "Split-train" / shard.name), "GZIP") as writer:
            for record in read_records(str(shard)).as_numpy_iterator():
                example = tf.train.Example.FromString(record)
                features = example.features.feature
                if features["image/source_id"].bytes_list.value[0] == b"3":
                    features["image/encoded"].bytes_list.value[0] = b"\xff\xd8\xff"
                writer.write(example.SerializeToString())
    with pytest.raises(DataError, match=r"step 1 to 2: the image 3 cannot be decoded .*; make the examples again"):
        run(broken, tmp_path, TINY.override("training.steps_per_execution=12"))


def test_a_diverging_run_stops_with_the_remedy(digit_shards, tmp_path):
    config = TINY.override("training.box_loss_weight=1e39,training.preflight=false")  # beyond float32
    with pytest.raises(ModelError) as caught:
        run(digit_shards, tmp_path, config)
    ids = step_ids(str(digit_shards / "Split-train/*"), config, 1)
    assert re.fullmatch(
        rf"step 1: loss, total.* is not finite, on the images {', '.join(ids)}; the last checkpoint is kept, "
        r"lower training.learning_rate \(now 0.1\) or lengthen training.warmup_epochs",
        str(caught.value),
    )
    assert not list((tmp_path / "ckpt").glob("*.index"))


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(ModelError, match="holds no detector"):
        load_detector(tmp_path)


def test_steps():
    assert total_steps(TrainingConfig(epochs=10, batch_size=32), 100) == 32
    assert total_steps(TrainingConfig(max_steps=5), 100) == 5


def test_a_run_starts_from_a_checkpoint_of_other_classes(digit_shards, tmp_path, caplog):
    """Classes 7 and 3 are carried over by name, `cat` is not used, the other eight digits start afresh."""
    label_map = LabelMap.from_names(["7", "cat", "3"])
    save_detector(tmp_path / "theirs", build_detector(TINY, len(label_map)), TINY, label_map)
    config = TINY.override({"training": {"max_steps": 1}, "model": {"weights": str(tmp_path / "theirs")}})
    with caplog.at_level(logging.INFO):
        run(digit_shards, tmp_path, config)
    assert "2 classes carried over by name (3, 7)" in caplog.text
    transfer = json.loads((tmp_path / "logs" / TRANSFER_FILE).read_text())
    assert transfer["classes"] == ["3", "7"]
    assert len(transfer["loaded"]) == len(build_detector(config, 10).weights)
    assert not transfer["skipped"]


def test_a_run_starts_from_a_backbone(digit_shards, tmp_path):
    label_map = LabelMap.from_names(["cat"])
    save_detector(tmp_path / "theirs", build_detector(TINY, 1), TINY, label_map)
    config = TINY.override({"training": {"max_steps": 1}, "model": {"backbone_weights": str(tmp_path / "theirs")}})
    run(digit_shards, tmp_path, config)
    loaded = json.loads((tmp_path / "logs" / TRANSFER_FILE).read_text())["loaded"]
    assert {name.split("/")[0] for name in loaded} == {"efficientnet-lite0"}


def test_a_foreign_checkpoint_is_refused_before_the_first_step(digit_shards, tmp_path):
    (tmp_path / "resnet.h5").write_bytes(b"not a checkpoint")
    config = TINY.override({"model": {"weights": str(tmp_path / "resnet.h5")}})
    with pytest.raises(ModelError, match=r"resnet.h5: a file of another kind, but a TensorFlow checkpoint"):
        run(digit_shards, tmp_path, config)


COCO_LIKE = LabelMap((Label(1, "person", 1), Label(2, "stop sign", 13)))


@pytest.mark.parametrize("count", [2, 3, 13, 14])  # classes, with background, the highest id, and with background
def test_every_way_to_count_the_classes_is_understood(count: int):
    check_classes(DataConfig(num_classes=count), COCO_LIKE)


def test_classes_that_disagree_are_named():
    with pytest.raises(ConfigError, match=r"num_classes=20: the examples have 2 classes \(person, stop sign...\); set"):
        check_classes(DataConfig(num_classes=20), COCO_LIKE)
    check_classes(DataConfig(label_map={1: "person", 13: "stop sign"}), COCO_LIKE)
    with pytest.raises(ConfigError, match="lack these of its classes: dog; and have besides: stop sign; correct"):
        check_classes(DataConfig(label_map={1: "person", 2: "dog"}), COCO_LIKE)


def test_a_segmentation_head_cannot_be_trained(digit_shards, tmp_path):
    with pytest.raises(ConfigError, match="examples carry no masks"):
        run(digit_shards, tmp_path, TINY.override({"heads": ["object_detection", "segmentation"], "image_size": 128}))
