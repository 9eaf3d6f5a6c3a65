"""From Pascal VOC to a pulled TFLite that finds what it was trained on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from efficientdet.boxes import iou

pytestmark = pytest.mark.slow


def to_voc(coco: Path, voc: Path) -> None:
    """The demo data as VOC: one XML per image, 1-based corners, official folders."""
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (voc / folder).mkdir(parents=True)
    for split in ("train", "eval"):
        data = json.loads((coco / f"annotations/instances_{split}.json").read_text())
        names = {c["id"]: c["name"] for c in data["categories"]}
        stems = []
        for image in data["images"]:
            stem = f"{split}_{Path(image['file_name']).stem}"
            stems.append(stem)
            (voc / f"JPEGImages/{stem}.jpg").write_bytes((coco / split / image["file_name"]).read_bytes())
            root = ElementTree.Element("annotation")
            ElementTree.SubElement(root, "filename").text = f"{stem}.jpg"
            size = ElementTree.SubElement(root, "size")
            for side in ("width", "height"):
                ElementTree.SubElement(size, side).text = str(image[side])
            for annotation in (a for a in data["annotations"] if a["image_id"] == image["id"]):
                add_object(root, names[annotation["category_id"]], annotation["bbox"])
            ElementTree.ElementTree(root).write(voc / f"Annotations/{stem}.xml")
        (voc / f"ImageSets/Main/{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))


def add_object(root: ElementTree.Element, name: str, bbox: list[float]) -> None:
    x, y, width, height = bbox
    element = ElementTree.SubElement(root, "object")
    ElementTree.SubElement(element, "name").text = name
    box = ElementTree.SubElement(element, "bndbox")
    for corner, value in zip(("xmin", "ymin", "xmax", "ymax"), (x + 1, y + 1, x + width, y + height), strict=True):
        ElementTree.SubElement(box, corner).text = str(round(value))


def hits(image: dict[str, Any], annotations: Path) -> int:
    """How many of the ten highest detections lie on a digit of their class."""
    root = ElementTree.parse(annotations / Path(image["file"]).with_suffix(".xml").name).getroot()
    sides = ("ymin", "xmin", "ymax", "xmax")
    truth = {o.findtext("name"): [float(o.findtext(f"bndbox/{side}")) for side in sides] for o in root.iter("object")}
    best = sorted(image["detections"], key=lambda d: -d["score"])[:10]
    found = [([d["box"][side] for side in sides], truth[d["class"]]) for d in best if d["class"] in truth]
    return sum(iou(np.array([box]), np.array([digit]))[0, 0] > 0.5 for box, digit in found)


@pytest.fixture(scope="module")
def voc_job(pipeline_job, tmp_path_factory):
    from efficientdet.data.demo import write_demo_data

    folder = tmp_path_factory.mktemp("voc")
    write_demo_data(folder / "coco", images={"train": 120, "eval": 12}, size=(96, 96))
    to_voc(folder / "coco", folder / "data")
    training = {"batch_size": 8, "epochs": 24, "learning_rate": 0.24, "warmup_epochs": 1, "moving_average": 0.97}
    return pipeline_job(
        folder,
        {
            "name": "tiny-voc",
            "root": str(folder / "root"),
            "source": {"format": "voc", "path": str(folder / "data"), "splits": {"train": "train", "eval": "eval"}},
            "schema_source": "inferred",
            "detector": {
                "model": {"name": "efficientdet-lite0", "image_size": 96},
                "data": {"flip": False, "jitter_min": 0.9, "jitter_max": 1.1},
                "training": training,
                "export": {"calibration_images": 40},
            },
            "blessing": {"floors": {"AP": 0.05}, "max_tflite_drop": 0.05, "max_champion_drop": 0.1},
            "registry": {"uri": str(folder / "registry"), "name": "voc-digits"},
        },
    )


def test_the_pulled_tflite_finds_digits(voc_job, efficientdet, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline", *voc_job.words()], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    summary = json.loads((voc_job.folder / "summary.json").read_text())
    assert summary["metrics"]["int8"]["AP50"] > 0.1
    pulled = efficientdet(
        "pull", "voc-digits", "--registry", voc_job.registry, "--format", "tflite", "--output", str(tmp_path / "model")
    )
    assert pulled.returncode == 0, pulled.stderr
    images = tmp_path / "images"
    images.mkdir()
    for image in (voc_job.folder / "data/JPEGImages").glob("eval_*.jpg"):
        shutil.copy(image, images)
    inferred = efficientdet(
        "infer", "--model", str(tmp_path / "model/model.tflite"), "--input", str(images),
        "--output", str(tmp_path / "out"), "--score", "0.01",
    )  # fmt: skip
    assert inferred.returncode == 0, inferred.stderr
    found = json.loads((tmp_path / "out/detections.json").read_text())
    assert {d["class"] for i in found["images"] for d in i["detections"]} <= {str(digit) for digit in range(10)}
    assert len(found["images"]) == 12
    assert sum(hits(image, voc_job.folder / "data/Annotations") for image in found["images"]) >= 3
