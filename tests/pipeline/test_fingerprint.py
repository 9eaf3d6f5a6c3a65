"""What decides whether a step runs again."""

from __future__ import annotations

import os
import re
import shutil

from efficientdet.config import ModelConfig
from pipeline.config import SourceConfig
from pipeline.fingerprint import code_fingerprint, data_fingerprint, settings_fingerprint, weights_fingerprint

LIST = "ImageSets/Main/{}.txt"


def voc(root) -> SourceConfig:
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        (root / LIST.format(split)).write_text("a\n")
    (root / "Annotations/a.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")
    (root / "JPEGImages/a.jpg").write_bytes(b"pixels")
    return SourceConfig(format="voc", path=str(root), splits={"train": "train", "eval": "val"})


def test_touching_changes_nothing_and_one_byte_changes_all(tmp_path):
    source = voc(tmp_path)
    before = data_fingerprint(source)
    os.utime(tmp_path / "Annotations/a.xml", (1, 1))
    assert data_fingerprint(source) == before
    (tmp_path / "JPEGImages/a.jpg").write_bytes(b"pixelz")
    changed = data_fingerprint(source)
    assert changed != before
    stat = (tmp_path / "Annotations/a.xml").stat()
    text = (tmp_path / "Annotations/a.xml").read_text()
    by_path = source.override({"splits": {"train": LIST.format("train"), "eval": LIST.format("val")}})
    changed_by_path = data_fingerprint(by_path)
    (tmp_path / "Annotations/a.xml").write_text(text.replace("a.jpg", "a.jpG"))
    os.utime(tmp_path / "Annotations/a.xml", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert data_fingerprint(source) != changed
    assert data_fingerprint(by_path) != changed_by_path


def test_remote_data_is_left_to_the_cluster():
    source = SourceConfig(format="voc", path="gs://bucket/voc", splits={"train": "train", "eval": "val"})
    assert data_fingerprint(source) == ""


def test_code_and_settings():
    assert re.fullmatch("[0-9a-f]{16}", code_fingerprint())
    assert settings_fingerprint(a=1, b=2) == settings_fingerprint(b=2, a=1)
    assert settings_fingerprint(a=1) != settings_fingerprint(a=2)


def test_a_checkpoint_counts_by_its_bytes_wherever_it_lies(tmp_path):
    here, there = tmp_path / "here" / "d0", tmp_path / "there" / "d0"
    here.mkdir(parents=True)
    for name, content in (("ckpt-7.index", b"names"), ("ckpt-7.data-00000-of-00001", b"values")):
        (here / name).write_bytes(content)
    shutil.copytree(here, there)
    for group in ("weights", "backbone_weights"):
        for inside in ("", "/ckpt-7", "/ckpt-7.index"):
            models = [ModelConfig(**{group: f"{folder}{inside}"}) for folder in (here, there)]
            (there / "ckpt-7.data-00000-of-00001").write_bytes(b"values")
            before, same = map(weights_fingerprint, models)
            assert re.fullmatch("[0-9a-f]{16}", before)
            assert same == before
            (there / "ckpt-7.data-00000-of-00001").write_bytes(b"valuez")
            assert weights_fingerprint(models[1]) != before
    classes = tmp_path / "classes.yaml"
    named = ModelConfig(weights=str(here), weights_classes=str(classes))
    classes.write_text("1: cat")
    before = weights_fingerprint(named)
    classes.write_text("1: dog")
    assert weights_fingerprint(named) != before


def test_weights_that_are_not_files_here_have_no_fingerprint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "cat.jpg").write_bytes(b"a data set that happens to lie here")
    for model in (
        ModelConfig(),
        ModelConfig(backbone_weights=None),
        ModelConfig(weights="https://tfhub.dev/tensorflow/efficientdet/d0/1"),
        ModelConfig(weights="none/ckpt"),
    ):
        assert weights_fingerprint(model) == ""
