"""What decides whether a step runs again."""

from __future__ import annotations

import os
import re

from pipeline.config import SourceConfig
from pipeline.fingerprint import code_fingerprint, data_fingerprint, settings_fingerprint

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
