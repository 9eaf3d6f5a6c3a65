"""Whatever kind of file a detector is in, it answers alike."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from efficientdet.checkpoint import save_detector
from efficientdet.detections import Detections
from efficientdet.detector_file import Detector, locate, open_detector
from efficientdet.errors import ModelError
from efficientdet.tflite_detector import TFLiteDetector


@pytest.fixture(scope="module")
def detectors(tiny_export: Any, frozen_export: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Detector]:
    """The same network in files of every kind."""
    run = tmp_path_factory.mktemp("run")
    save_detector(run / "detector", tiny_export.model, tiny_export.config, tiny_export.label_map)
    bundle = tiny_export.folder
    paths = {"checkpoint": run, "SavedModel": bundle, "frozen": frozen_export, "int8": bundle / "model_int8.tflite"}
    return {kind: open_detector(path) for kind, path in paths.items()}


@pytest.fixture(scope="module")
def pictures(tiny_export: Any) -> list[NDArray[np.uint8]]:
    """Ten of three sizes: more than pass the network together."""
    sizes = [(64, 64), (50, 100), (90, 40)]
    found = [Image.fromarray(picture) for picture in [*tiny_export.pictures, *tiny_export.pictures[:2]]]
    return [np.asarray(picture.resize(sizes[i % 3])) for i, picture in enumerate(found)]


def png(picture: NDArray[np.uint8]) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "PNG")
    return encoded.getvalue()


def same(found: Detections, expected: Any, exact: bool) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for our, their, tolerance in zip(ours, theirs, (1e-3, 1e-5, 0), strict=True):
            np.testing.assert_allclose(our, their, rtol=0, atol=0 if exact else tolerance)


@pytest.mark.parametrize("kind", ["checkpoint", "SavedModel", "frozen"])
def test_the_float_network_is_the_same_everywhere(
    kind: str, detectors: dict[str, Detector], tiny_export: Any, pictures: list[NDArray[np.uint8]], expected: Any
) -> None:
    detector = detectors[kind]
    assert (detector.config, detector.label_map) == (tiny_export.config, tiny_export.label_map)
    same(detector([png(picture) for picture in pictures]), expected, exact=False)
    if kind != "checkpoint":  # which the SavedModel is made of
        same(detector(pictures), expected, exact=False)


@pytest.fixture(scope="module")
def expected(tiny_export: Any, pictures: list[NDArray[np.uint8]]) -> list[list[NDArray[Any]]]:
    """Boxes, scores and classes of each picture, as TensorFlow alone gets them from the SavedModel."""
    serve = tf.saved_model.load(str(tiny_export.folder / "Format-Serving")).signatures["images"]
    found = []
    for picture in pictures:
        answer = {name: value.numpy()[0] for name, value in serve(images=picture[None]).items()}
        names = ("detection_boxes", "detection_scores", "detection_classes")
        found.append([answer[name][: answer["num_detections"]] for name in names])
    return found


def test_a_tflite_file_answers_as_it_does_alone(
    detectors: dict[str, Detector], tiny_export: Any, pictures: list[NDArray[np.uint8]]
) -> None:
    detector = detectors["int8"]
    assert (detector.config, detector.label_map) == (tiny_export.config, tiny_export.label_map)
    alone = TFLiteDetector(tiny_export.folder / "model_int8.tflite", num_threads=1)(pictures)
    same(detector(pictures), alone, exact=True)
    same(detector([png(picture) for picture in pictures]), alone, exact=True)


@pytest.mark.parametrize("kind", ["checkpoint", "SavedModel", "frozen", "int8"])
def test_several_threads_may_ask_at_once(
    kind: str, detectors: dict[str, Detector], pictures: list[NDArray[np.uint8]]
) -> None:
    detector, encoded = detectors[kind], [png(picture) for picture in pictures]
    parts = [encoded[i : i + 3] for i in range(len(encoded) - 2)]
    alone = [detector(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detector, parts))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)


@pytest.mark.parametrize("kind", ["checkpoint", "SavedModel"])
def test_images_of_one_size_pass_together(kind: str, detectors: dict[str, Detector], tiny_export: Any) -> None:
    alike = list(tiny_export.pictures) * 2  # more than a chunk
    mixed = [*alike, np.zeros((9, 9, 3), np.uint8)]
    same(detectors[kind](alike), list(detectors[kind](mixed))[:-1], exact=False)


def test_no_images_are_no_detections(detectors: dict[str, Detector]) -> None:
    assert [len(detector([])) for detector in detectors.values()] == [0, 0, 0, 0]


def test_a_folder_is_the_one_detector_in_it(tiny_export: Any, tmp_path: Path) -> None:
    shutil.copy(tiny_export.folder / "model_int8.tflite", tmp_path / "model.tflite")
    assert open_detector(tmp_path).label_map == tiny_export.label_map


@pytest.mark.parametrize(
    ("kind", "file", "asked"),
    [
        ("checkpoint", "run/detector/detector.weights.h5", "run"),
        ("checkpoint", "Trainer/model/5/Format-Serving/detector.weights.h5", "Trainer/model/5"),
        ("checkpoint", "Trainer/model/5/Format-Serving/detector.weights.h5", "Trainer/model/5/Format-Serving"),
        ("saved_model", "bundle/Format-Serving/saved_model.pb", "bundle"),
        ("saved_model", "pulled/saved_model/saved_model.pb", "pulled"),
        ("frozen_graph", "frozen/model.pb", "frozen"),
    ],
)
def test_where_the_detector_of_a_folder_lies(kind: str, file: str, asked: str, tmp_path: Path) -> None:
    place = tmp_path / file
    place.parent.mkdir(parents=True)
    place.touch()
    assert locate(tmp_path / asked) == (kind, place if kind == "frozen_graph" else place.parent)


def without(folder: str, *names: str) -> Callable[[Path, Path], Path]:
    """What copies a model's folder without some files."""

    def copy(model: Path, target: Path) -> Path:
        shutil.copytree(model / folder, target)
        for name in names:
            (target / name).unlink()
        return target

    return copy


def test_what_cannot_be_opened_is_a_sentence(tiny_export: Any, frozen_export: Path, tmp_path: Path) -> None:
    bundle = tiny_export.folder
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "alone").mkdir()
    graph = tf.compat.v1.GraphDef.FromString(frozen_export.read_bytes())
    foreign = [node for node in graph.node if not node.name.startswith("efficientdet/")]
    del graph.node[:]
    graph.node.extend(foreign)
    (tmp_path / "alone/model.pb").write_bytes(graph.SerializeToString())
    two = without(".")(bundle, tmp_path / "two")
    shutil.rmtree(two / "Format-Serving")
    shutil.copy(two / "model_int8.tflite", two / "model_b.tflite")
    bare = without("Format-Serving", "assets.extra/config.yaml")(bundle, tmp_path / "bare")
    cut = without("Format-Serving")(bundle, tmp_path / "cut")
    (cut / "saved_model.pb").write_bytes((cut / "saved_model.pb").read_bytes()[:1000])
    for path, says in (
        (tmp_path / "none", "none: there is no such file or folder; give a training run's folder, a SavedModel"),
        (tmp_path / "empty", r"empty: holds no detector\.weights\.h5, saved_model\.pb, \.tflite or \.pb"),
        (tmp_path / "notes.txt", r"notes\.txt: is no detector; give a training run's folder"),
        (tmp_path / "alone/model.pb", r"model\.pb: its config\.yaml is not in .*alone; export the model again, or put"),
        (two, r"two: holds model_b\.tflite, model_int8\.tflite; name one of them"),
        (bare, r"bare: its config\.yaml is not in .*assets\.extra"),
        (cut, "cut: TensorFlow cannot load it"),
    ):
        with pytest.raises(ModelError, match=says) as error:
            open_detector(path)
        assert "\n" not in str(error.value)


def test_a_tflite_file_and_its_folder_need_no_tensorflow(tiny_export: Any, tmp_path: Path) -> None:
    shutil.copy(tiny_export.folder / "model_int8.tflite", tmp_path / "model.tflite")
    program = (
        "import sys, numpy as np; from efficientdet.detector_file import open_detector; "
        f"open_detector({str(tmp_path / 'model.tflite')!r}); "
        f"found = open_detector({str(tmp_path)!r})([np.zeros((9, 9, 3), np.uint8)]); "
        "assert len(found) == 1; heavy = {'tensorflow', 'keras'} & set(sys.modules); assert not heavy, heavy"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
