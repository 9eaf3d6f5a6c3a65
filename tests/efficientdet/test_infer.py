"""Detection from the TFLite file alone, in a process without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from efficientdet.errors import DataError, ModelError
from efficientdet.infer import TFLiteDetector, find_images, read_image, run_infer


@pytest.fixture(scope="module")
def model_file(tiny_export: Any) -> Path:
    return tiny_export.folder / "model_int8.tflite"


@pytest.fixture(scope="module")
def detector(model_file: Path) -> TFLiteDetector:
    # With more threads the suppression orders equal scores by chance.
    return TFLiteDetector(model_file, num_threads=1)


@pytest.fixture
def images(tmp_path: Path, tiny_export: Any) -> Path:
    """A folder with a JPEG, a PNG in a subfolder, a GIF, a broken JPEG and a text file."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    first, second, third = (Image.fromarray(picture) for picture in tiny_export.pictures[:3])
    first.save(folder / "a.jpg")
    second.resize((90, 45)).save(folder / "sub" / "b.PNG")
    third.save(folder / "c.gif")
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:600])
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_batch_of_any_sizes_is_answered_in_original_pixels(detector: TFLiteDetector, tiny_export: Any):
    wide = np.asarray(Image.fromarray(tiny_export.pictures[0]).resize((200, 50)))
    found = detector([tiny_export.pictures[1], wide])
    assert found.boxes.shape == (2, 20, 4)
    assert (found.count > 0).all()
    [_, (boxes, scores, classes)] = found
    assert (boxes >= 0).all()
    assert (boxes <= [50, 200, 50, 200]).all()
    assert (boxes[:, 3] > 64).any(), "coordinates are scaled back"
    assert (np.diff(scores) <= 0).all()
    assert set(classes) <= {1, 2, 3}
    empty = np.arange(20) >= found.count[:, None]
    assert not found.scores[empty].any()
    assert not found.boxes[empty].any()
    [alone] = detector([wide])
    np.testing.assert_array_equal(alone[0], boxes)


def test_boxes_are_the_saved_models_on_average(detector: TFLiteDetector, tiny_export: Any):
    """The best detections of the int8 file, against the float one; random weights, so only most must agree."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(tiny_export.folder / "Format-Serving"))
    exact = loaded.signatures["images"](images=tf.constant(tiny_export.pictures))
    found = detector(list(tiny_export.pictures))
    assert np.abs(found.scores[:, :5] - exact["detection_scores"].numpy()[:, :5]).mean() < 0.05


def test_what_is_not_our_model_is_refused_with_a_sentence(model_file: Path, tmp_path: Path, shared: Path):
    with pytest.raises(ModelError, match=r"none\.tflite: there is no such file"):
        TFLiteDetector(tmp_path / "none.tflite")
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(model_file.read_bytes()[:-2000])
    with pytest.raises(ModelError, match=r"cut\.tflite: carries no config\.yaml"):
        TFLiteDetector(cut)
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(b"\0" * 64 + model_file.read_bytes()[64:])
    with pytest.raises(ModelError, match=r"damaged\.tflite: LiteRT cannot run it"):
        TFLiteDetector(damaged)
    [published] = (shared / "data/models").glob("*.tflite")
    with pytest.raises(ModelError, match="not a TFLite model of this product"):
        TFLiteDetector(published)


def test_a_folder_gives_json_and_pictures_and_goes_on_after_a_broken_image(
    model_file: Path, images: Path, tmp_path: Path
):
    done = run_infer(model_file, images, tmp_path / "out", score_threshold=0.1)
    assert done.images == 3
    assert list(done.unreadable) == ["broken.jpg"]
    assert "not a readable image" in done.unreadable["broken.jpg"]
    answer = json.loads(done.detections_file.read_text())
    assert [image["file"] for image in answer["images"]] == ["a.jpg", "c.gif", "sub/b.PNG"]
    assert [file["file"] for file in answer["unreadable"]] == ["broken.jpg"]
    assert done.detections == sum(len(image["detections"]) for image in answer["images"]) > 0
    best = answer["images"][0]["detections"][0]
    assert best["class"] in ("cat", "dog", "bird")
    assert best["score"] >= 0.1
    written = sorted(path.relative_to(done.pictures).as_posix() for path in done.pictures.rglob("*.*"))
    assert written == ["a.jpg", "c.gif.png", "sub/b.PNG"]
    assert Image.open(done.pictures / "sub" / "b.PNG").size == (90, 45)


def test_one_image_and_a_run_into_its_own_folder(model_file: Path, images: Path):
    assert run_infer(model_file, images / "a.jpg", images).images == 1
    assert run_infer(model_file, images, images).images == 3, "pictures of the first run are no input"
    first = (images / "a.jpg").read_bytes()
    assert (images / "pictures" / "a.jpg").read_bytes() != first


def test_no_image_is_a_sentence(model_file: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image; looked for files ending in"):
        run_infer(model_file, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(DataError, match="there is no such file or folder"):
        find_images(tmp_path / "nowhere", tmp_path)


def test_pictures_are_read_as_stored(tmp_path: Path):
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: show me turned by 90 degrees
    Image.new("L", (30, 20), 7).save(tmp_path / "turned.jpg", exif=turned)
    image = read_image(tmp_path / "turned.jpg")
    assert image.shape == (20, 30, 3)
    assert (image == 7).all()


def test_no_tensorflow_is_imported(model_file: Path, images: Path, tmp_path: Path):
    program = (
        "import sys, pathlib, efficientdet.bundle, efficientdet.infer as infer, efficientdet.visualize; "
        f"infer.run_infer(*map(pathlib.Path, {[str(model_file), str(images), str(tmp_path / 'out')]!r})); "
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'tfx', 'mlflow'} & set(sys.modules); assert not heavy, heavy"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
