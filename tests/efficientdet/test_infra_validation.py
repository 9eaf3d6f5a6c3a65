"""Every file that ships is tried for real, and what is broken is refused with its reason, whatever it does."""

from __future__ import annotations

import copy
import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import flexbuffers
from PIL import Image

from efficientdet.boxes import yxyx_to_xywh
from efficientdet.bundle import SAVED_MODEL_FOLDER, variants, write_manifest
from efficientdet.coco_metric import Groundtruth
from efficientdet.infra_blessing import Infra, InfraBlessing, Runtime
from efficientdet.infra_validation import Record, _read, measure, validate
from efficientdet.label_map import LabelMap
from efficientdet.probe import Answer
from efficientdet.scored_image import Found, ScoredImage
from efficientdet.tflite_detector import TFLiteDetector
from efficientdet.tflite_flatbuffer import pack_model, unpack_model
from efficientdet.tflite_metadata import METADATA_NAME, pack_with_metadata

NOTHING = Groundtruth(np.zeros((0, 4)), [], [], [])


@pytest.fixture(scope="module")
def exported(tiny_export: Any) -> Path:
    return tiny_export.folder / "model_int8.tflite"


@pytest.fixture(scope="module")
def repacked(tiny_export: Any, exported: Path) -> Callable[..., bytes]:
    """The exported file with options of its post-processing changed, without metadata, or of other classes."""

    def pack(labels: LabelMap | None = None, metadata: bool = True, **options: int) -> bytes:
        model = unpack_model(exported.read_bytes())
        model.metadata = []
        [op] = [op for op in model.subgraphs[0].operators if op.customOptions is not None]
        changed = flexbuffers.Dumps(flexbuffers.Loads(bytes(op.customOptions)) | options)
        op.customOptions = np.frombuffer(changed, np.uint8)
        whole = pack_with_metadata(model, tiny_export.config, labels or tiny_export.label_map)
        model.metadata = model.metadata if metadata else []
        return pack_model(model) + whole[whole.index(b"PK\x03\x04") :]

    return pack


@pytest.fixture(scope="module")
def converted(tiny_export: Any, exported: Path) -> Callable[..., bytes]:
    """A TFLite file that keeps the contract, and answers what a function makes of an image: box, class, score."""
    whole = exported.read_bytes()
    described = unpack_model(whole)
    [entry] = [entry for entry in described.metadata if entry.name == METADATA_NAME.encode()]

    def convert(answer: Callable[[tf.Tensor], tuple[Any, Any, Any]]) -> bytes:
        slots, module = tiny_export.config.nms.max_detections, tf.Module()

        def detect(images: tf.Tensor) -> dict[str, tf.Tensor]:
            pixel = tf.reduce_max(tf.cast(images, tf.float32))
            box, label, score = answer(pixel)
            return {
                "detection_boxes": tf.zeros([1, slots, 4]) + box,
                "detection_classes": tf.zeros([1, slots]) + label,
                "detection_scores": tf.zeros([1, slots]) + score,
                "num_detections": tf.ones([1]) + 0 * pixel,
            }

        spec = tf.TensorSpec([1, *tiny_export.config.model.input_size, 3], tf.uint8, name="images")
        module.detect = tf.function(detect, input_signature=[spec], autograph=False)
        functions = [module.detect.get_concrete_function()]
        flatbuffer = tf.lite.TFLiteConverter.from_concrete_functions(functions, module).convert()
        model = unpack_model(flatbuffer)
        model.buffers.append(described.buffers[entry.buffer])
        model.metadata = [copy.copy(entry)]
        model.metadata[0].buffer = len(model.buffers) - 1
        return pack_model(model) + whole[whole.index(b"PK\x03\x04") :]

    return convert


def bundle(folder: Path, tiny_export: Any, **tflites: bytes) -> Path:
    """A bundle of TFLite files by variant, without its SavedModel."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(tiny_export.config.to_yaml())
    (folder / "label_map.json").write_text(tiny_export.label_map.to_json())
    for variant, content in tflites.items():
        (folder / f"model_{variant}.tflite").write_bytes(content)
    write_manifest(folder)
    return folder


def endless(pixel: tf.Tensor) -> tuple[tf.Tensor, float, tf.Tensor]:
    """Waits for a number to become negative that grows."""
    [grown] = tf.while_loop(lambda x: x >= 0, lambda x: [tf.maximum(x, x + 1)], [pixel])
    return tf.constant([0.0, 0, 1, 1]), 0.0, grown


def flood(pixel: tf.Tensor) -> tuple[tf.Tensor, float, tf.Tensor]:
    """Two gigabytes of numbers that depend on the image."""
    many = tf.fill(tf.stack([tf.cast(0 * pixel, tf.int32) + 500_000_000]), pixel)
    return tf.constant([0.0, 0, 1, 1]), 0.0, tf.reduce_max(many)


def jpeg(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def records(tiny_export: Any, exported: Path) -> list[Record]:
    """Four JPEGs, and what the exported files find in the pixels that TensorFlow decodes; `shifted` is 4 pixels off."""
    saved_model = tf.saved_model.load(str(tiny_export.folder / SAVED_MODEL_FOLDER)).signatures["serving_default"]
    tflite = TFLiteDetector(exported, num_threads=1)
    made = []
    for i, picture in enumerate(tiny_export.pictures[:4]):
        encoded = jpeg(picture)
        pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()
        [(boxes, scores, classes)] = tflite([pixels])
        int8 = Found(yxyx_to_xywh(boxes.astype(float)), classes, scores.astype(float))
        raw = {name: value[0].numpy() for name, value in saved_model(tf.constant([encoded])).items()}
        float_ = Found(
            yxyx_to_xywh(raw["detection_boxes"].astype(float)), raw["detection_classes"], raw["detection_scores"]
        )
        shifted = int8._replace(boxes_xywh=int8.boxes_xywh + [4, 4, 0, 0])
        found = {"float": float_, "int8": int8, "shifted": shifted, "copy": int8}
        others = dict.fromkeys(("crash", "half", "stripped", "relabelled", "nan", "alien", "flood", "endless"), int8)
        made.append(Record(encoded, pixels, ScoredImage(f"image {i}", *pixels.shape[:2], NOTHING, found | others)))
    return made


@pytest.fixture(scope="module")
def verdict(
    tiny_export: Any,
    exported: Path,
    repacked: Callable[..., bytes],
    converted: Callable[..., bytes],
    records: list[Record],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Runtime]:
    """On whole files and on broken ones, all of one bundle."""
    whole = exported.read_bytes()
    folder = tmp_path_factory.mktemp("verdict") / "bundle"
    shutil.copytree(tiny_export.folder / SAVED_MODEL_FOLDER, folder / SAVED_MODEL_FOLDER)
    bundle(
        folder,
        tiny_export,
        int8=whole,
        copy=whole,
        shifted=whole,
        unscored=whole,
        half=whole[: len(whole) // 2],
        stripped=repacked(metadata=False),
        relabelled=repacked(labels=LabelMap.from_names(["dog", "cat", "bird"])),
        # the post-processing multiplies the two in 32 bits: it makes room for nothing, and writes
        crash=repacked(max_detections=2**16, max_classes_per_detection=2**16),
        nan=converted(lambda pixel: (tf.constant([0.0, 0, 1, 1]), 0.0, 0 * pixel + float("nan"))),
        alien=converted(lambda pixel: (tf.constant([0.0, 0, 1, 1]), 3.0, 0 * pixel + 0.5)),
    )
    assert next(iter(variants(folder))) == "float"
    blessing = validate(folder, records, Infra(timeout_s=300))
    assert blessing.outcome == "INFRA_NOT_BLESSED"
    assert blessing.images == 4
    return {runtime.variant: runtime for runtime in blessing.runtimes}


def test_whole_files_pass_whatever_their_neighbours_do(verdict: dict[str, Runtime], exported: Path):
    for variant in ("float", "int8", "copy"):
        runtime = verdict[variant]
        assert (runtime.outcome, runtime.reason, runtime.agreement) == ("PASSED", "", 1)
        assert 0 < runtime.latency_ms <= runtime.latency_p95_ms
    assert verdict["int8"].bytes == exported.stat().st_size
    assert verdict["float"].bytes > 10_000_000
    assert 30e6 < verdict["int8"].peak_bytes < verdict["float"].peak_bytes


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ("crash", "crash: crashed with SIGSEGV (Segmentation fault)"),
        ("half", "half: cannot be loaded by LiteRT (The model is not a valid Flatbuffer buffer)"),
        ("stripped", "stripped: has no TFLITE_METADATA, without which MediaPipe and the Task API refuse it"),
        ("relabelled", "relabelled: its label_map.json holds dog, cat, bird ("),
        ("nan", "nan: answers nonsense for image image 0: a box or score is not a number"),
        ("alien", "alien: answers nonsense for image image 0: class 4 of 3"),
        ("unscored", "unscored: was not scored on image image 0; evaluate the bundle again"),
        ("shifted", "shifted: finds something else than the evaluation did: "),
    ],
)
def test_a_broken_file_is_refused_with_the_reason(verdict: dict[str, Runtime], variant: str, reason: str):
    assert verdict[variant].outcome == "FAILED"
    assert verdict[variant].reason.startswith(reason)


def test_what_differs_from_the_scores_is_measured(verdict: dict[str, Runtime]):
    assert verdict["shifted"].agreement < 0.5
    assert verdict["shifted"].latency_ms > 0
    assert "below the floor of 98.0%; image image" in verdict["shifted"].reason


def test_a_file_that_hangs_is_stopped(
    tiny_export: Any, converted: Callable[..., bytes], records: list[Record], tmp_path: Path
):
    folder = bundle(tmp_path / "bundle", tiny_export, endless=converted(endless))
    float_, stopped = validate(folder, records, Infra(timeout_s=4)).runtimes
    assert stopped.reason == "endless: was still running after 4 s, which is its time limit, and was stopped"
    assert (float_.outcome, float_.bytes) == ("FAILED", 0), "there is none"


@pytest.fixture(scope="module")
def limited(
    tiny_export: Any,
    exported: Path,
    converted: Callable[..., bytes],
    records: list[Record],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Runtime]:
    """Within 400 MB, of which TensorFlow alone takes more, and a latency that no file can keep."""
    folder = tmp_path_factory.mktemp("limited") / "bundle"
    bundle(folder, tiny_export, int8=exported.read_bytes(), flood=converted(flood))
    limits = Infra(timeout_s=300, max_memory_mb=400, max_latency_ms=0.01)
    return {runtime.variant: runtime for runtime in validate(folder, records, limits).runtimes}


def test_a_file_that_eats_memory_is_stopped(limited: dict[str, Runtime]):
    assert limited["flood"].reason == "flood: wanted more than 400 MB of memory, which is its limit, and was stopped"
    assert limited["flood"].peak_bytes > 400e6


def test_a_file_that_is_slow_is_named_with_its_time(limited: dict[str, Runtime]):
    runtime = limited["int8"]
    told = f"int8: an image takes {runtime.latency_ms:.1f} ms, above the ceiling of 0.01 ms"
    assert (runtime.outcome, runtime.reason, runtime.agreement) == ("FAILED", told, 1)


class Hostile(tf.Module):
    """Pictures in, but nothing that a consumer knows out."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def detect(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"answer": tf.strings.length(image_bytes)}


def test_a_saved_model_of_another_signature_is_not_run(tiny_export: Any, records: list[Record], tmp_path: Path):
    model = Hostile()
    tf.saved_model.save(model, str(tmp_path / "b" / SAVED_MODEL_FOLDER), signatures={"serving_default": model.detect})
    [runtime] = validate(bundle(tmp_path / "b", tiny_export), records, Infra()).runtimes
    assert runtime.outcome == "FAILED"
    assert "signature serving_default has no output detection_boxes, but answer; " in runtime.reason
    assert "has no signature images; has no signature examples; " in runtime.reason


def test_bytes_that_are_not_those_of_the_manifest_are_not_run(
    tiny_export: Any, exported: Path, records: list[Record], tmp_path: Path
):
    folder = bundle(tmp_path / "bundle", tiny_export, int8=exported.read_bytes())
    with (folder / "model_int8.tflite").open("ab") as file:
        file.write(b"\0")
    blessing = validate(folder, records)
    assert [runtime.variant for runtime in blessing.runtimes] == ["float", "int8"]
    assert all("model_int8.tflite: differs from manifest.json (sha256)" in reason for reason in blessing.reasons)


def test_measured_is_what_runs_whatever_it_offers(tiny_export: Any, repacked: Callable[..., bytes], tmp_path: Path):
    """As the gate does, for ceilings of latency and size."""
    folder = bundle(tmp_path / "bundle", tiny_export, int8=repacked(metadata=False))
    runtimes = measure(folder, [jpeg(picture) for picture in tiny_export.pictures[:2]], Infra(timeout_s=300))
    assert list(runtimes) == ["float", "int8"]
    assert (runtimes["int8"].outcome, runtimes["int8"].agreement) == ("PASSED", None)
    assert runtimes["int8"].latency_ms > 0
    assert "there is no SavedModel" in runtimes["float"].reason
    with zipfile.ZipFile(folder / "model_int8.tflite") as packed:
        assert "labels.txt" in packed.namelist()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"found": 7}', '{"found": [[[[0, 0, 1]], [1], [1]]]}', "\x00"])
def test_an_answer_that_makes_no_sense_is_none(text: str, tmp_path: Path):
    (tmp_path / "answer.json").write_text(text)
    assert _read(tmp_path / "answer.json") is None
    assert _read(tmp_path / "missing.json") is None


def test_an_answer_is_read_back(tmp_path: Path):
    (tmp_path / "answer.json").write_text('{"found": [[[[0, 0, 1, NaN]], [0.5], [2]]], "latency_ms": [1.5]}')
    answer = _read(tmp_path / "answer.json")
    assert isinstance(answer, Answer)
    [([box], scores, classes)] = answer.found
    assert (np.isnan(box[3]), scores, classes, answer.latency_ms) == (True, [0.5], [2], [1.5])


def test_a_bundle_of_nothing_is_not_blessed():
    assert not InfraBlessing((), 0, 1, "").blessed
