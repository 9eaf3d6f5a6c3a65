from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tfx.types import Channel, artifact_utils, standard_artifacts

from components.statistics_gen import Executor, StatisticsGen, without_images
from efficientdet.data import profile
from efficientdet.data.example import AnnotatedImage, to_example
from efficientdet.data.profile import profile_example, total
from efficientdet.label_map import LabelMap

LABELS = LabelMap.from_names(["cat", "dog"])


def example(classes: list[int], masks: list[bytes] | None = None) -> tf.train.Example:
    boxes = np.array([(0, 0, 8 * c, 16) for c in classes], np.float32).reshape(-1, 4)
    image = AnnotatedImage(
        source_id="1",
        file_name="1.png",
        encoded=b"\x89PNG" * 1000,
        image_format="png",
        height=32,
        width=64,
        boxes=boxes,
        classes=np.array(classes, np.int32),
        is_crowd=np.zeros(len(classes), bool),
        area=boxes[:, 2] * boxes[:, 3],
        difficult=np.zeros(len(classes), bool),
    )
    made = to_example(image, LABELS)
    if masks:
        made.features.feature["image/object/mask"].bytes_list.value.extend(masks)
    return made


SPLITS = {"train": [example([1, 2], [b"\x89PNG", b"\x89PNG"]), example([])], "eval": [example([2])]}


@pytest.fixture(scope="module")
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the executor makes of two splits, each of two shards."""
    folder = tmp_path_factory.mktemp("statistics")
    examples, made = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    examples.uri, made.uri = str(folder / "examples"), str(folder / "statistics")
    examples.split_names, examples.span = artifact_utils.encode_split_names(list(SPLITS)), 7
    for split, records in SPLITS.items():
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        for i, part in enumerate((records[:1], records[1:])):
            path = folder / "examples" / f"Split-{split}" / f"data_tfrecord-{i:05d}-of-00002.gz"
            with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
                for record in part:
                    writer.write(record.SerializeToString())
    context = Executor.Context(beam_pipeline_args=["--runner=FnApiRunner"], tmp_dir=str(folder))
    Executor(context).Do({"examples": [examples]}, {"statistics": [made]}, {})
    assert (made.split_names, made.span) == (examples.split_names, 7)
    return folder / "statistics"


def test_every_feature_but_the_images_has_statistics(statistics: Path) -> None:
    [dataset] = tfdv.load_stats_binary(str(statistics / "Split-train" / "FeatureStats.pb")).datasets
    assert dataset.num_examples == 2
    written = SPLITS["train"][0].features.feature.keys()
    assert {f.path.step[0] for f in dataset.features} == written - {"image/encoded", "image/object/mask"}
    [labels] = [f for f in dataset.features if f.path.step[0] == "image/object/class/label"]
    assert (labels.num_stats.min, labels.num_stats.max, labels.num_stats.common_stats.tot_num_values) == (1, 2, 2)


def test_the_profile_is_that_of_all_shards(statistics: Path) -> None:
    assert sorted(path.name for path in statistics.iterdir()) == ["Split-eval", "Split-train", profile.FILE_NAME]
    counted = {split: total(profile_example(e.SerializeToString()) for e in each) for split, each in SPLITS.items()}
    assert profile.load(statistics / profile.FILE_NAME) == counted


def test_a_record_without_images_is_otherwise_the_same() -> None:
    whole = SPLITS["train"][0]
    bare = tf.train.Example.FromString(without_images(whole.SerializeToString()))
    assert whole.features.feature.keys() - bare.features.feature.keys() == {"image/encoded", "image/object/mask"}
    assert all(whole.features.feature[name] == value for name, value in bare.features.feature.items())


def test_other_code_counts_again() -> None:
    nodes = [StatisticsGen(Channel(type=standard_artifacts.Examples), code) for code in ("a", "b")]
    assert [node.exec_properties["fingerprint"] for node in nodes] == ["a", "b"]
    assert nodes[0].id == "StatisticsGen"
