"""The AP of a network is pycocotools' of what its SavedModel finds, on every image of the split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from efficientdet.boxes import yxyx_to_xywh
from efficientdet.coco_metric import COCO_METRICS
from efficientdet.config import Config
from efficientdet.data.coco_groundtruth import CocoGroundtruth
from efficientdet.data.input_pipeline import decode_image, read_examples, read_records
from efficientdet.detector_file import keras_detector
from efficientdet.errors import DataError, PreemptedError
from efficientdet.evaluate import Evaluation, detect_examples
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import build_detector
from efficientdet.saved_model import IMAGES_SIGNATURE, export_saved_model

from .conftest import lively_detector, random_pictures

CONFIG = Config().override("model.image_size=64,model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1")


def coco_numbers(truth: list[dict], images: list[int], found: list[dict]) -> list[float]:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i} for i in images],
        "annotations": truth,
        "categories": [{"id": c} for c in range(1, 11)],
    }
    coco.createIndex()
    judge = COCOeval(coco, coco.loadRes(found), "bbox")
    judge.params.imgIds = images
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return list(judge.stats)


def test_the_numbers_are_pycocotools_over_every_image(digit_shards: Path, tmp_path: Path):
    import tensorflow as tf

    pattern = str(digit_shards / "Split-train/*")  # 12 images: a whole batch and a partial one
    model = lively_detector(CONFIG, 10, random_pictures(8, 64, 64))
    scores = Evaluation(model, CONFIG, LabelMap.load(digit_shards), pattern)()
    assert scores.images == 12

    export_saved_model(model, CONFIG, LabelMap.load(digit_shards), tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures[IMAGES_SIGNATURE]
    truth, found = [], []
    for image_id, example in enumerate(read_examples(pattern), start=1):
        for box, class_id in zip(yxyx_to_xywh(example["boxes"].numpy()), example["classes"].numpy(), strict=True):
            one = {"id": len(truth) + 1, "image_id": image_id, "category_id": int(class_id), "iscrowd": 0}
            truth.append({**one, "bbox": box.tolist(), "area": float(box[2] * box[3])})
        answer = {k: v.numpy()[0] for k, v in serve(images=decode_image(example["image_bytes"])[None]).items()}
        n = int(answer["num_detections"])
        boxes = yxyx_to_xywh(answer["detection_boxes"][:n])
        rows = zip(boxes, answer["detection_classes"][:n], answer["detection_scores"][:n], strict=True)
        found += [
            {"image_id": image_id, "category_id": int(c), "bbox": box.tolist(), "score": float(s)} for box, c, s in rows
        ]
    expected = coco_numbers(truth, list(range(1, 13)), found)
    ours = [-1.0 if scores.metrics[name] is None else scores.metrics[name] for name in COCO_METRICS]
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_it_can_be_broken_off_between_batches(digit_shards: Path):
    model, seen = build_detector(CONFIG, 10), []

    def enough() -> None:
        seen.append(1)
        raise PreemptedError("SIGTERM")

    with pytest.raises(PreemptedError):
        Evaluation(model, CONFIG, LabelMap.load(digit_shards), str(digit_shards / "Split-train/*"))(between=enough)
    assert seen == [1]


def test_an_image_that_cannot_be_decoded_is_named(digit_shards: Path, tmp_path: Path):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        for i, record in enumerate(read_records(str(digit_shards / "Split-eval/*")).as_numpy_iterator()):
            example = tf.train.Example.FromString(record)
            features = example.features.feature
            features["image/source_id"].bytes_list.value[0] = b"image %d" % i
            if i == 2:
                features["image/encoded"].bytes_list.value[0] = b"no image"
            writer.write(example.SerializeToString())
    detector = keras_detector(build_detector(CONFIG, 10), CONFIG, LabelMap.load(digit_shards))
    with pytest.raises(DataError, match=r"image image 2: cannot be decoded .*make the examples again"):
        list(detect_examples({"": detector}, str(tmp_path / "a")))


def test_groundtruth_may_come_from_an_annotation_file_and_detections_of_several(digit_shards: Path):
    groundtruth = CocoGroundtruth(digit_shards / "coco/annotations/instances_eval.json")
    detector = keras_detector(build_detector(CONFIG, 10), CONFIG, LabelMap.load(digit_shards))
    pattern = str(digit_shards / "Split-eval/*")
    ours = list(detect_examples({"a": detector, "b": detector}, pattern))
    theirs = list(detect_examples({"b": detector}, pattern, groundtruth, batch=3))
    assert [image.image_id for image in ours] == [image.image_id for image in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert (one.height, one.width) == (96, 96)
        np.testing.assert_allclose(one.truth.boxes_xywh, other.truth.boxes_xywh, atol=1e-4)
        np.testing.assert_array_equal(one.truth.classes, other.truth.classes)
        for found in (one.found["a"], other.found["b"]):
            np.testing.assert_allclose(found.scores, one.found["b"].scores, atol=1e-6)


def test_no_shards_are_named(tmp_path: Path):
    model = lively_detector(CONFIG, 10, random_pictures(2, 64, 64))
    with pytest.raises(DataError, match="no example shards match"):
        Evaluation(model, CONFIG, LabelMap.from_names("abcdefghij"), str(tmp_path / "*"))()
