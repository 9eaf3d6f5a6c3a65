from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from efficientdet.bundle import TFLITE_FILE, verify_manifest
from efficientdet.errors import ModelError, RegistryError, TamperedError
from efficientdet.registry import Registry, find_baseline, open_registry
from efficientdet.registry.mlflow_client import Location
from efficientdet.registry.promotion import promote
from tests.efficientdet.registry.child import exit_code, in_child, kill_at
from tests.registry_copy import copy_registry

WriteBundle = Callable[[str], Path]
NewRegistry = Callable[[Path], Registry]


def register(uri: Path, *bundles: Path, answers: Path | None = None) -> None:
    registry = open_registry(uri)
    versions = [registry.register(bundle, "digits").version for bundle in bundles]
    registry.set_alias("digits", "champion", versions[-1])
    if answers:
        answers.write_text(" ".join(versions))


def test_a_version_keeps_what_was_registered(registry: Registry) -> None:
    version = registry.get("digits", "1")
    assert version.metrics == {"float": {"AP": 0.5, "APs": None}, "int8": {"AP": 0.49, "APs": None}}
    assert version.tags == {"data": "f00"}
    assert version.aliases == ()
    assert version.size > 300 + 3 + 5
    assert timedelta(0) <= datetime.now(UTC) - version.created < timedelta(minutes=10)


def test_versions_come_newest_first_and_the_champion_is_known(registry: Registry) -> None:
    assert [str(version) for version in registry.versions()] == ["digits@2", "digits@1"]
    assert registry.versions("nobody") == []
    assert registry.champion("digits") == registry.get("digits") == registry.get("digits", "champion")
    assert registry.champion("nobody") is None
    assert registry.champion("digits", "beta") is None


def test_a_baseline_is_found_by_number_or_alias(registry: Registry, tmp_path: Path) -> None:
    first = registry.get("digits", "1")
    assert find_baseline(registry, "digits", "1") == first
    assert find_baseline(registry, "digits", "@champion") == registry.champion("digits")
    for missing in ("9", "@nobody"):
        assert find_baseline(registry, "digits", missing) is None
    assert find_baseline(open_registry(tmp_path / "none"), "digits", "1") is None


def test_equal_content_is_registered_once(registry: Registry, write_bundle: WriteBundle) -> None:
    assert registry.register(write_bundle("one"), "digits", tags={"data": "other"}) == registry.get("digits", "1")
    assert len(registry.versions("digits")) == 2


def test_fetch_gives_the_bundle_back(registry: Registry, tmp_path: Path, write_bundle: WriteBundle) -> None:
    version = registry.fetch("digits", "1", tmp_path / "bundle")
    original = write_bundle("one")
    assert version.version == "1"
    for path in ("manifest.json", *verify_manifest(original)["files"]):
        assert (tmp_path / "bundle" / path).read_bytes() == (original / path).read_bytes()


def test_fetch_of_some_files_lists_only_these(registry: Registry, tmp_path: Path) -> None:
    registry.fetch("digits", "1", tmp_path / "part", only=["documents"])
    manifest = verify_manifest(tmp_path / "part")
    assert set(manifest["files"]) == {"config.yaml", "label_map.json", "documents/blessing.json"}
    assert manifest["architecture"] == "efficientdet-lite0"
    with pytest.raises(RegistryError, match=r"digits@1 holds no 'model_edgetpu.tflite'; it holds .*model_int8.tflite"):
        registry.fetch("digits", "1", tmp_path / "none", only=["model_edgetpu.tflite"])


def test_fetch_overwrites_nothing(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(RegistryError, match="not an empty folder"):
        registry.fetch("digits", "1", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("name", "selector", "sentence"),
    [
        ("digit", "champion", "there is no model 'digit'; did you mean digits?"),
        ("faces", "champion", "there is no model 'faces'; there are digits"),
        ("digits", "champoin", "digits has no version or alias 'champoin'; did you mean champion?"),
        ("digits", "7", "digits has no version or alias '7'; there are champion, 2, 1"),
    ],
)
def test_wrong_names_are_answered_with_the_nearest(registry: Registry, name: str, selector: str, sentence: str) -> None:
    with pytest.raises(RegistryError) as error:
        registry.get(name, selector)
    assert str(error.value) == f"{registry.uri}: {sentence}"


def test_an_alias_needs_an_existing_version(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no version or alias '9'"):
        registry.set_alias("digits", "champion", "9")


def test_where_no_registry_is_nothing_is_made(tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "none")
    assert registry.versions() == []
    assert registry.champion("digits") is None
    with pytest.raises(RegistryError, match="there is no model 'digits'; nothing is registered there yet"):
        registry.get("digits")
    assert not (tmp_path / "none").exists()


def test_a_damaged_bundle_is_not_registered(tmp_path: Path, write_bundle: WriteBundle) -> None:
    bundle = write_bundle("three")
    (bundle / TFLITE_FILE).write_text("cut")
    with pytest.raises(ModelError, match=TFLITE_FILE):
        open_registry(tmp_path / "registry").register(bundle, "digits")
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("damage", ["changed", "missing"])
@pytest.mark.parametrize("file", [TFLITE_FILE, "manifest.json", "registry_entry.json"])
def test_a_stored_file_that_changed_is_found(
    tmp_path: Path, write_bundle: WriteBundle, registry: Registry, file: str, damage: str
) -> None:
    version = registry.register(write_bundle(f"{damage} {file}"), "damaged")
    [stored] = [p for p in Path(registry.uri).rglob(file) if version.content in stored_content(p)]
    if damage == "changed":
        stored.write_bytes(stored.read_bytes() + b" ")
    else:
        stored.unlink()
    with pytest.raises(RegistryError, match=file):
        registry.fetch("damaged", version.version, tmp_path / "fetched")
    assert not list(tmp_path.iterdir())


def stored_content(path: Path) -> str:
    """The text of the entry beside a stored file."""
    return (path.parent / "registry_entry.json").read_text()


@pytest.mark.usefixtures("registry")
def test_killed_while_the_registry_comes_into_being_it_finishes_when_run_again(
    tmp_path: Path, write_bundle: WriteBundle
) -> None:
    uri, bundle = tmp_path / "registry", write_bundle("killed")

    def publish() -> None:
        kill_at("made.db")
        open_registry(uri).register(bundle, "digits")

    assert exit_code(in_child(publish)) == -signal.SIGKILL
    registry = open_registry(uri)
    assert registry.versions() == []
    assert registry.register(bundle, "digits").version == "1"
    assert (uri / "mlflow.db").is_file()


def test_three_processes_at_once_get_unique_versions(
    tmp_path: Path, write_bundle: WriteBundle, new_registry: NewRegistry
) -> None:
    uri, common = Path(new_registry(tmp_path / "registry").uri), write_bundle("common")
    owns, answers = [write_bundle(f"own {i}") for i in range(3)], [tmp_path / f"{i}" for i in range(3)]
    children = [
        in_child(lambda own=own, answer=answer: register(uri, own, common, answers=answer))
        for own, answer in zip(owns, answers, strict=True)
    ]
    assert [exit_code(child) for child in children] == [0, 0, 0]
    own, shared = zip(*(answer.read_text().split() for answer in answers), strict=True)
    assert len(set(own)) == 3
    assert len(set(shared)) == 1
    versions = open_registry(uri).versions("digits")
    assert sorted(version.version for version in versions) == sorted({*own, *shared})
    assert [version.version for version in versions if version.aliases] == [shared[0]]


def test_versions_of_others_are_not_taken_for_ours(
    tmp_path: Path, write_bundle: WriteBundle, new_registry: NewRegistry
) -> None:
    registry = new_registry(tmp_path / "registry")
    ours = registry.register(write_bundle("ours"), "digits")
    client = Location.parse(registry.uri).client
    client.create_model_version("digits", str(tmp_path / "half"))
    client.create_registered_model("others")
    assert registry.versions() == [ours]


@pytest.mark.parametrize(("tag", "value"), [("size", None), ("size", "big"), ("metrics", "oops"), ("metrics", "[]")])
def test_a_version_with_a_damaged_tag_is_left_out_and_named(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture, tag: str, value: str | None
) -> None:
    registry = copy_registry(Path(registry.uri), tmp_path / "damaged")
    client, key = Location.parse(registry.uri).client, f"efficientdet.{tag}"
    if value is None:
        client.delete_model_version_tag("digits", "2", key)
    else:
        client.set_model_version_tag("digits", "2", key, value)
    for name in ("digits", None):
        assert [str(version) for version in registry.versions(name) if version.name == "digits"] == ["digits@1"]
    told = f"tag {key} of digits@2 is {'not what was registered' if value else 'missing'}; restore it or register again"
    assert caplog.messages == [f"{registry.uri}: digits@2 is left out: {told}"]
    for ask in (registry.get, registry.champion):
        with pytest.raises(TamperedError) as error:
            ask("digits")
        assert str(error.value) == f"{registry.uri}: looking up digits@champion failed: {told}"
    promote(registry, "digits", "1", "ann", "the other is damaged")
    assert registry.get("digits").version == "1"


def test_content_is_what_sha256sum_says(registry: Registry, write_bundle: WriteBundle) -> None:
    bundle = write_bundle("one")
    names = sorted(verify_manifest(bundle)["files"])
    lines = "".join(f"{hashlib.sha256((bundle / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert registry.get("digits", "1").content == hashlib.sha256(lines.encode()).hexdigest()


def test_a_long_card_is_cut_for_the_page_and_whole_in_the_version(
    tmp_path: Path, write_bundle: WriteBundle, new_registry: NewRegistry
) -> None:
    card = tmp_path / "model_card.md"
    card.write_text("# digits\n" + "a line of it\n" * 1000)
    registry = new_registry(tmp_path / "registry")
    registry.register(write_bundle("one"), "digits", documents=[card])
    page = Location.parse(registry.uri).client.get_model_version("digits", "1").description
    assert 4900 < len(page) <= 5000
    assert page.endswith("a line of it\n\n… the rest is in `documents/model_card.md`.\n")
    registry.fetch("digits", "1", tmp_path / "back", only=["documents"])
    assert (tmp_path / "back/documents/model_card.md").read_bytes() == card.read_bytes()
