"""A tiny real data set of handwritten digits as shards of examples, and a tiny exported detector."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE, write_manifest
from efficientdet.config import Config
from efficientdet.label_map import LabelMap
from efficientdet.registry import Registry
from tests.efficientdet.registry.mlflow_server import ADMIN, PASSWORD, MlflowServer

WriteBundle = Callable[[str], Path]


@pytest.fixture(scope="session")
def digit_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with label_map.json and gzip shards: Split-train (12 images of 96x96), Split-eval (4)."""
    import tensorflow as tf

    from efficientdet.data.admission import admit_all
    from efficientdet.data.coco import coco_label_map, read_coco
    from efficientdet.data.demo import write_demo_data
    from efficientdet.data.example import serialise

    root = tmp_path_factory.mktemp("digits")
    write_demo_data(root / "coco", images={"train": 12, "eval": 4}, size=(96, 96))
    for split in ("train", "eval"):
        annotations = root / "coco" / f"annotations/instances_{split}.json"
        label_map = coco_label_map([annotations])
        classes = {label.category_id: label.id for label in label_map}
        admitted = admit_all(read_coco([annotations]), root / "coco", split, classes)
        records = [serialise(image, label_map) for image, _ in admitted if image]
        (root / f"Split-{split}").mkdir()
        for shard in range(2):
            path = str(root / f"Split-{split}" / f"data-{shard}-of-2.gz")
            with tf.io.TFRecordWriter(path, "GZIP") as writer:
                for record in records[shard::2]:
                    writer.write(record)
    (root / "label_map.json").write_text(label_map.to_json())
    return root


SMALL = "model.image_size=64,model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1"


class TinyExport(NamedTuple):
    """A bundle of a 64x64 lite0 with random weights, and what it was made from."""

    folder: Path
    model: Any
    config: Config
    label_map: LabelMap
    pictures: NDArray[np.uint8]  # [n, 64, 64, 3]


@pytest.fixture(scope="session")
def tiny_export(tmp_path_factory: pytest.TempPathFactory) -> TinyExport:
    """Exported once for all tests: the conversion takes about ten seconds."""
    return exported(Config().override({"model": {"image_size": 64}}), tmp_path_factory.mktemp("export") / "bundle")


def exported(config: Config, folder: Path) -> TinyExport:
    """A detector of cats, dogs and birds with 20 detections in an image, as a bundle."""
    from efficientdet.export import export_bundle

    config, label_map = config.override("nms.max_detections=20"), LabelMap.from_names(["cat", "dog", "bird"])
    pictures = random_pictures(24, 64, 64)
    model = lively_detector(config, len(label_map), pictures)
    export_bundle(model, config, label_map, pictures[:16], folder)
    return TinyExport(folder, model, config, label_map, pictures[16:])


@pytest.fixture(scope="session")
def frozen_export(tiny_export: TinyExport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of `tiny_export` as a frozen graph, with its config and label map beside it."""
    from efficientdet.frozen_graph_writer import export_frozen_graph

    path = tmp_path_factory.mktemp("frozen") / "model.pb"
    export_frozen_graph(tiny_export.model, tiny_export.config, tiny_export.label_map, path)
    for name in ("config.yaml", "label_map.json"):
        shutil.copy(tiny_export.folder / name, path.parent)
    return path


@pytest.fixture(scope="session")
def own_answers(tiny_export: TinyExport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with label_map.json and a shard `data.gz` whose groundtruth is what the int8 file finds.

    The images are larger than its input, so that answers must come back in pixels of the original.
    """
    import tensorflow as tf

    from efficientdet.data.example import AnnotatedImage, serialise
    from efficientdet.tflite_detector import TFLiteDetector

    folder, detector = tmp_path_factory.mktemp("own"), TFLiteDetector(tiny_export.folder / "model_int8.tflite", 1)
    pictures = [picture.repeat(2, axis=0).repeat(2, axis=1) for picture in tiny_export.pictures]
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as writer:
        for i, (boxes, _, classes) in enumerate(detector(pictures)):
            sides = boxes[:, 2:] - boxes[:, :2]
            seen = (sides > 0).all(axis=1)  # random weights also answer boxes beside the image
            boxes, classes, area, no = boxes[seen], classes[seen], sides[seen].prod(axis=1), np.zeros(seen.sum(), bool)
            encoded = tf.io.encode_png(pictures[i]).numpy()
            image = AnnotatedImage(
                str(i), f"{i}.png", encoded, "png", 128, 128, boxes, classes, is_crowd=no, area=area, difficult=no
            )
            writer.write(serialise(image, tiny_export.label_map))
    (folder / "label_map.json").write_text(tiny_export.label_map.to_json())
    return folder


@pytest.fixture(scope="session")
def every_format(tmp_path_factory: pytest.TempPathFactory) -> TinyExport:
    """All but TensorRT and ONNX of a 64x64 lite0 with a narrow pyramid, exported once."""
    from efficientdet.export_format import FORMATS

    formats = [name for name, kind in FORMATS.items() if kind.runtime not in ("tensorrt", "onnx")]
    config = Config().override(SMALL).override({"export": {"formats": formats}})
    return exported(config, tmp_path_factory.mktemp("formats") / "bundle")


def lively_detector(config: Config, num_classes: int, pictures: NDArray[np.uint8]) -> Any:
    """A network with random weights whose scores and boxes vary as after training.

    Fresh weights answer nearly the same everywhere, so the last kernels are widened to a spread of 1.5 in
    the logits and 0.5 in the box deltas of the finest level.
    """
    import keras

    from efficientdet.model.detector import build_detector, normalise

    keras.utils.set_random_seed(0)
    model = build_detector(config, num_classes)
    last = {v.path: v for v in model.trainable_variables if "-predict/" in v.path}
    bias = last["class_net/class-predict/bias"]
    bias.assign(bias.value * 0)
    raw = model(normalise(pictures, config), training=False)
    for head, level, spread in (("class", raw.class_logits[0], 1.5), ("box", raw.box_deltas[0], 0.5)):
        kernel = last[f"{head}_net/{head}-predict/pointwise_kernel"]
        kernel.assign(kernel.value * (spread / np.std(level)))
    bias.assign(bias.value - 2)
    return model


def random_pictures(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """`[count, height, width, 3]` uint8: coloured rectangles on a coloured ground."""
    rng = np.random.default_rng(seed)
    pictures = np.zeros((count, height, width, 3), np.uint8)
    for picture in pictures:
        picture[:] = rng.integers(0, 256, 3)
        for _ in range(6):
            y, x = rng.integers(0, height), rng.integers(0, width)
            picture[y : y + rng.integers(4, height), x : x + rng.integers(4, width)] = rng.integers(0, 256, 3)
    return pictures


@pytest.fixture(scope="session")
def write_csv() -> Any:
    """Writes the objects of COCO files as rows of AutoML's CSV; images are named FOLDER/FILE below the COCO folder."""
    return csv_of_coco


def csv_of_coco(path: Path, coco: Path, sets: dict[str, tuple[str, slice]]) -> list[list[str]]:
    """Per set a split of the COCO folder `coco` and which of its images belong to the set; the rows, as written."""
    rows = []
    for name, (split, part) in sets.items():
        instances = json.loads((coco / f"annotations/instances_{split}.json").read_text())
        for image in instances["images"][part]:
            sides = [image["width"], image["height"]]
            for box in (a for a in instances["annotations"] if a["image_id"] == image["id"]):
                x, y, width, height = box["bbox"]
                low = [str(v / side) for v, side in zip((x, y), sides, strict=True)]
                high = [str(v / side) for v, side in zip((x + width, y + height), sides, strict=True)]
                label = f"digit {box['category_id']}"
                rows.append([name, f"{split}/{image['file_name']}", label, *low, "", "", *high, "", ""])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return rows


@pytest.fixture(scope="session")
def random_coco() -> Any:
    """Makes a COCO data set and results for it: see `random_dataset`."""
    return random_dataset


@pytest.fixture(scope="session")
def scenes() -> Any:
    """Makes what `coco_metric.match_images` takes of a COCO data set and results, in the file's order."""
    return scenes_of


def random_dataset(seed: int, images: int, classes: int, most: int, coarse: int) -> tuple[dict, list[dict]]:
    """Groundtruth and results.

    With crowds, ties in score and overlap, ids with gaps and out of order, images without either, an unknown class,
    and the key `ignore`, which pycocotools knows and overwrites.
    """
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    ids = (rng.permutation(images) * 7 + 1).tolist()
    for image_id in ids:
        truth = np.round(rng.uniform(1, 300, (rng.integers(0, 12), 4)) / coarse) * coarse + coarse
        categories = rng.integers(1, classes + 1, len(truth))
        for box, category in zip(truth.tolist(), categories.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3] * float(rng.choice([1.0, 0.6, 0.02])),
                    "iscrowd": int(rng.random() < 0.2),
                    "ignore": int(rng.random() < 0.3),
                }
            )
        for _ in range(rng.integers(0, most)):
            near = len(truth) and rng.random() < 0.8
            i = rng.integers(len(truth)) if near else 0
            box = truth[i] + np.round(rng.normal(0, 4, 4) / coarse) * coarse if near else rng.uniform(1, 300, 4)
            box[2:] = np.maximum(box[2:], 1)
            category = categories[i] if near and rng.random() < 0.9 else rng.integers(1, classes + 2)
            score = round(float(rng.random()), 1)
            results.append({"image_id": image_id, "category_id": int(category), "bbox": box.tolist(), "score": score})
    dataset = {
        "images": [{"id": i} for i in ids],
        "annotations": annotations,
        "categories": [{"id": c} for c in range(1, classes + 1)],
    }
    return dataset, results


def scenes_of(dataset: dict[str, Any], results: list[dict[str, Any]]) -> list[Any]:
    """Per image its id, its Groundtruth, and the boxes, classes and scores of its results."""
    from efficientdet.coco_metric import Groundtruth

    scenes = []
    for image in dataset["images"]:
        annotations = [a for a in dataset["annotations"] if a["image_id"] == image["id"]]
        found = [r for r in results if r["image_id"] == image["id"]]
        columns = [[a[column] for a in annotations] for column in ("bbox", "category_id", "iscrowd", "area")]
        truth = Groundtruth(*columns, [a.get("ignore", 0) for a in annotations])
        scenes.append((str(image["id"]), truth, *([r[c] for r in found] for c in ("bbox", "category_id", "score"))))
    return scenes


MEDIAPIPE = "mediapipe==1.2.2"


@pytest.fixture(scope="session")
def mediapipe() -> Any:
    """MediaPipe's own ObjectDetector: called with a TFLite file, pictures and the least score, it gives a list of
    records per picture.

    It lives in an environment beside TFX's, which is made once and kept in the user's cache.
    """
    python = mediapipe_environment() / "bin" / "python"

    def detect(model: Path, pictures: list[NDArray[np.uint8]], score: float = 0.001) -> list[list[dict[str, Any]]]:
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/pictures.npz", *pictures)
            script = Path(__file__).with_name("mediapipe_detect.py")
            command = [python, script, model, f"{folder}/pictures.npz", str(score)]
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return detect


def mediapipe_environment() -> Path:
    """The folder of a virtual environment with MediaPipe."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "efficientdet"
    folder = cache / MEDIAPIPE.replace("==", "-")
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        uv = Path(sys.executable).with_name("uv")
        with tempfile.TemporaryDirectory(prefix=".mediapipe-", dir=cache) as work:
            aside = Path(work) / folder.name
            for command in (
                [uv, "venv", "--quiet", "--python", sys.executable, aside],
                [uv, "pip", "install", "--quiet", "--python", aside, MEDIAPIPE],
            ):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"{MEDIAPIPE} cannot be installed: {' '.join(done.stderr.split())[-300:]}")
            aside.rename(folder)
    return folder


@pytest.fixture(scope="session")
def write_bundle(tmp_path_factory: pytest.TempPathFactory) -> WriteBundle:
    """Writes a whole bundle, each time anew; the text makes its content."""

    def write(text: str) -> Path:
        folder = tmp_path_factory.mktemp("bundle")
        files = {
            f"{SAVED_MODEL_FOLDER}/saved_model.pb": "graph",
            f"{SAVED_MODEL_FOLDER}/variables/variables.index": text,
            TFLITE_FILE: text * 100,
            "label_map.json": "[]",
            "config.yaml": "{}",
        }
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        write_manifest(folder, architecture="efficientdet-lite0")
        return folder

    return write


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server that asks for ADMIN and PASSWORD; every test has names and contents of its own in it."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow") / "server")
    yield server
    server.close()


@pytest.fixture
def guarded(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """The same, at work, with name and password in the environment."""
    mlflow_server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    return mlflow_server


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory,
    write_bundle: WriteBundle,
    new_registry: Callable[[Path], Registry],
) -> Registry:
    """`digits` versions 1 (with metrics and a document) and 2 (champion); do not change them."""
    folder = tmp_path_factory.mktemp("registry")
    blessing = folder / "blessing.json"
    blessing.write_text('{"outcome": "BLESSED"}')
    registry = new_registry(folder / "registry")
    metrics = {"float": {"AP": 0.5, "APs": None}, "int8": {"AP": 0.49, "APs": float("nan")}}
    registry.register(write_bundle("one"), "digits", metrics=metrics, tags={"data": "f00"}, documents=[blessing])
    second = registry.register(write_bundle("two"), "digits")
    registry.set_alias("digits", "champion", second.version)
    return registry
