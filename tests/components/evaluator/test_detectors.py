from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.evaluator.detectors import (
    BATCH,
    BundleDetectors,
    detectors,
    manifest_sha256,
    release_detectors,
)
from efficientdet.boxes import yxyx_to_xywh
from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE, write_manifest
from efficientdet.data.input_pipeline import read_examples
from efficientdet.errors import ModelError
from efficientdet.scored_image import Found

Bundle = Callable[..., Path]


def pictures(examples: Path) -> list[bytes]:
    return [record["image_bytes"].numpy() for record in read_examples(f"{examples}/Split-eval/*")]


def same(a: Found, b: Found) -> bool:
    """Whether two answers are equal to the last bit."""
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_each_file_of_the_bundle_answers_for_itself(examples: Path, three_files: Path) -> None:
    records = [example for example in read_examples(f"{examples}/Split-eval/*") if len(example["boxes"]) == 2]
    answers = BundleDetectors(three_files)([record["image_bytes"].numpy() for record in records])
    assert list(answers) == ["float", "float16", "int8"]
    for variant, shift in (("float", 1), ("float16", 3), ("int8", 2)):
        assert answers[variant].seconds > 0
        for record, found in zip(records, answers[variant].found, strict=True):
            off = np.minimum(record["boxes"].numpy() + np.float32([shift, 0, shift, 0]), 64)
            np.testing.assert_allclose(found.boxes_xywh, yxyx_to_xywh(off), atol=1e-4)
            np.testing.assert_allclose(found.scores, 0.9, atol=1e-6)
            assert found.classes.tolist() == [1, 2]
            assert [column.dtype for column in found] == [np.float64, np.int32, np.float64]


class BatchDetector(tf.Module):
    """Scores every image by how many pass together, as the last bit of a real network's score may be."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = tf.shape(image_bytes)[0]
        return {
            "detection_boxes": tf.ones([batch, 1, 4]),
            "detection_scores": tf.fill([batch, 1], tf.cast(batch, tf.float32) / 100),
            "detection_classes": tf.ones([batch, 1], tf.int32),
            "num_detections": tf.ones([batch], tf.int32),
        }


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1])
def test_an_answer_does_not_depend_on_how_many_ask(tmp_path: Path, examples: Path, bundle: Bundle, count: int) -> None:
    folder, module = shutil.copytree(bundle(1, 2), tmp_path / "bundle"), BatchDetector()
    shutil.rmtree(folder / SAVED_MODEL_FOLDER)
    tf.saved_model.save(module, str(folder / SAVED_MODEL_FOLDER), signatures={"serving_default": module.serve})
    write_manifest(folder)
    found = BundleDetectors(folder)(pictures(examples)[:count])["float"].found
    assert [each.scores.tolist() for each in found] == [[pytest.approx(BATCH / 100)]] * count


def test_several_callers_at_once(examples: Path, bundle: Bundle) -> None:
    judge, images = BundleDetectors(bundle(1, 2)), pictures(examples)
    expected = judge(images)
    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(judge, [images] * 8):
            for variant, (found, _) in answers.items():
                assert all(same(a, b) for a, b in zip(found, expected[variant].found, strict=True))


def test_no_image(bundle: Bundle) -> None:
    assert [found for found, _ in BundleDetectors(bundle(1, 2))([]).values()] == [[], []]


@pytest.mark.parametrize("name", [TFLITE_FILE, f"{SAVED_MODEL_FOLDER}/saved_model.pb"])
def test_a_file_that_differs_from_the_manifest_is_not_opened(tmp_path: Path, bundle: Bundle, name: str) -> None:
    changed = shutil.copytree(bundle(1, 2), tmp_path / "changed")
    with (changed / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match=rf"{name}: differs from manifest.json \(sha256\)"):
        BundleDetectors(changed)


def test_a_file_of_no_manifest_is_not_opened(tmp_path: Path, bundle: Bundle) -> None:
    more = shutil.copytree(bundle(1, 2), tmp_path / "more")
    shutil.copy(more / TFLITE_FILE, more / "model_float16.tflite")
    with pytest.raises(ModelError, match=r"model_float16\.tflite: is not in manifest\.json"):
        BundleDetectors(more)


def test_what_was_verified_is_what_runs(tmp_path: Path, examples: Path, bundle: Bundle) -> None:
    folder = shutil.copytree(bundle(1, 2), tmp_path / "bundle")
    judge, images = BundleDetectors(folder), pictures(examples)
    before = judge(images)
    shutil.rmtree(folder)
    for variant, (found, _) in judge(images).items():
        assert all(same(a, b) for a, b in zip(found, before[variant].found, strict=True))


def test_a_bundle_that_changes_with_its_manifest_is_another(tmp_path: Path, bundle: Bundle) -> None:
    folder = shutil.copytree(bundle(1, 2), tmp_path / "bundle")
    began = manifest_sha256(folder)
    shutil.copy(bundle(0, 0) / TFLITE_FILE, folder)
    write_manifest(folder)
    with pytest.raises(ModelError, match="has changed since its evaluation began"):
        detectors(str(folder), began)
    with pytest.raises(ModelError, match="there is no manifest"):
        manifest_sha256(tmp_path)


def test_a_bundle_is_loaded_once_however_many_threads_ask(bundle: Bundle) -> None:
    release_detectors()
    folder = str(bundle(1, 2))
    with ThreadPoolExecutor(4) as pool:
        loaded = set(pool.map(lambda _: detectors(folder, manifest_sha256(folder)), range(8)))
    assert len(loaded) == 1
    release_detectors()
    assert detectors(folder, manifest_sha256(folder)) not in loaded
    release_detectors()
