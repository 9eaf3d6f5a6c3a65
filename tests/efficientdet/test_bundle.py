"""The manifest notices every kind of damage to a bundle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.bundle import MANIFEST_FILE, read_manifest, unjudged, variants, verify_manifest, write_manifest
from efficientdet.errors import ModelError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "Format-Serving").mkdir(parents=True)
    (folder / "Format-Serving" / "saved_model.pb").write_bytes(b"graph")
    (folder / "config.yaml").write_bytes(b"model: {}\n")
    write_manifest(folder, architecture="efficientdet-lite0")
    return folder


def test_manifest_holds_the_facts_and_every_file(bundle: Path):
    manifest = verify_manifest(bundle)
    assert manifest["architecture"] == "efficientdet-lite0"
    assert manifest["files"] == {
        "Format-Serving/saved_model.pb": {"sha256": hashlib.sha256(b"graph").hexdigest(), "bytes": 5},
        "config.yaml": {"sha256": hashlib.sha256(b"model: {}\n").hexdigest(), "bytes": 10},
    }
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"], "nothing is left aside"


@given(position=st.integers(0, 4), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int):
    folder = tmp_path_factory.mktemp("bundle")
    content = bytearray(b"graph")
    (folder / "saved_model.pb").write_bytes(content)
    write_manifest(folder)
    content[position] ^= 1 << bit
    (folder / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError, match=r"saved_model\.pb: differs from manifest\.json"):
        verify_manifest(folder)


def test_missing_and_unlisted_files_are_named(bundle: Path):
    (bundle / "stray.bin").touch()
    with pytest.raises(ModelError, match=r"stray\.bin: is not in manifest\.json"):
        verify_manifest(bundle)
    (bundle / "stray.bin").unlink()
    (bundle / "config.yaml").unlink()
    with pytest.raises(ModelError, match=r"config\.yaml: is missing"):
        verify_manifest(bundle)


def test_a_part_can_be_verified_alone(bundle: Path):
    (bundle / "Format-Serving" / "saved_model.pb").unlink()
    verify_manifest(bundle, ["config.yaml"])
    with pytest.raises(ModelError, match=r"other\.yaml: is not in manifest\.json"):
        verify_manifest(bundle, ["other.yaml"])


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd"])
def test_a_path_out_of_the_bundle_is_refused(bundle: Path, name: str):
    manifest = read_manifest(bundle)
    manifest["files"][name] = {"sha256": "0", "bytes": 0}
    (bundle / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="lies outside the bundle"):
        read_manifest(bundle)


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"a": {}}}'])
def test_what_is_no_manifest_is_said_to_be_none(bundle: Path, text: str):
    (bundle / MANIFEST_FILE).write_text(text)
    with pytest.raises(ModelError, match="is not a manifest"):
        read_manifest(bundle)
    (bundle / MANIFEST_FILE).unlink()
    with pytest.raises(ModelError, match="the export did not finish"):
        read_manifest(bundle)


def test_variants_are_named_by_their_files(bundle: Path):
    for name in ("model_int8.tflite", "model_float16.tflite", "notes.tflite"):
        (bundle / name).write_bytes(b"TFL3")
    assert list(variants(bundle)) == ["float", "float16", "int8"]
    assert variants(bundle)["int8"] == bundle / "model_int8.tflite"


def test_what_nobody_judges_is_listed(bundle: Path):
    assert unjudged(bundle) == []
    (bundle / "tensorrt_fp16").mkdir()
    for name in ("frozen_graph.pb", "model_int8_raw.tflite", "label_map.json", ".DS_Store"):
        (bundle / name).write_bytes(b"")
    assert unjudged(bundle) == ["frozen_graph.pb", "tensorrt_fp16"]
    assert list(variants(bundle)) == ["float", "int8_raw"]
