from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE, verify_manifest, write_manifest
from efficientdet.cli import cli, main
from efficientdet.registry import open_registry
from tests.efficientdet.square_model import CONFIG, LABELS, write_square_model

# what the base install has not
WITHOUT = ("tensorflow", "keras", "tfx", "apache_beam", "sklearn", "av")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry whose `squares` has a champion that runs."""
    bundle = tmp_path_factory.mktemp("bundle")
    write_square_model(bundle / TFLITE_FILE)
    for name, text in {"config.yaml": CONFIG.to_yaml(), "label_map.json": LABELS.to_json()}.items():
        (bundle / name).write_text(text)
    (bundle / SAVED_MODEL_FOLDER).mkdir()
    (bundle / SAVED_MODEL_FOLDER / "saved_model.pb").write_text("graph")
    write_manifest(bundle)
    registry = open_registry(tmp_path_factory.mktemp("registry") / "here")
    metrics = {"float": {"AP": 0.4567, "APs": None}, "int8": {"AP": None}}
    version = registry.register(bundle, "squares", metrics=metrics, tags={"data": "f00"})
    registry.set_alias("squares", "champion", version.version)
    return registry.uri


@pytest.fixture
def run() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program in a process of its own; its stderr ends with what it loaded of WITHOUT."""
    code = f"""
import atexit, sys
atexit.register(lambda: print("loaded", *(set(sys.modules) & set({WITHOUT!r})), file=sys.stderr))
from efficientdet.cli import main
main()
"""
    return lambda *words, **environment: subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        check=False,
    )


def test_models_lists_for_people(run: Callable[..., Result], uri: str) -> None:
    answer = run("models", "--registry", uri)
    assert answer.exit_code == 0
    [row] = [line for line in answer.output.splitlines() if "squares" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:5] == ["squares", "1", "champion", "0.457", "n/a"]
    assert cells[5].endswith("MB")


def test_models_lists_for_scripts(run: Callable[..., Result], uri: str) -> None:
    [record] = json.loads(run("models", "--json", "--registry", uri).output)
    version = open_registry(uri).get("squares")
    assert record["name"] == "squares"
    assert record["version"] == "1"
    assert record["aliases"] == ["champion"]
    assert record["metrics"] == {"float": {"AP": 0.4567, "APs": None}, "int8": {"AP": None}}
    assert record["tags"] == {"data": "f00"}
    assert record["bytes"] == version.size
    assert record["content"] == version.content


def test_models_where_there_is_no_registry(run: Callable[..., Result], tmp_path: Path) -> None:
    answer = run("models", "--registry", tmp_path / "none")
    assert (answer.exit_code, answer.output) == (0, f"{tmp_path / 'none'}: no model is registered there yet\n")
    assert run("models", "--json", "--registry", tmp_path / "none").output == "[]\n"


def test_architectures_for_scripts(run: Callable[..., Result]) -> None:
    sizes = {size["name"]: size for size in json.loads(run("models", "--architectures", "--json").output)}
    assert len(sizes) == 20
    assert {"efficientdet-d7x", "efficientdet-d6(640)", "efficientdet-lite3x"} <= set(sizes)
    d0 = sizes["efficientdet-d0"]
    assert (d0["parameters"], d0["flops"]) == (3_927_203, 2_547_822_895)
    assert (d0["backbone"], d0["image_size"], d0["fpn_filters"]) == ("efficientnet-b0", [512, 512], 64)


def test_architectures_for_people(run: Callable[..., Result]) -> None:
    table = run("models", "--architectures").output
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines()]
    assert sum(row[0].startswith("efficientdet-") for row in rows) == 20
    assert ["efficientdet-d0", "512x512", "3.9 M", "2.55 G", "efficientnet-b0", "64 x 3", "3"] in rows
    assert ["efficientdet-d7x", "1536x1536", "77.6 M", "411.07 G", "efficientnet-b7", "384 x 8", "5"] in rows
    assert "With 90 classes" in table


def test_a_consumer_lists_pulls_and_detects_without_tensorflow(
    program: Callable[..., subprocess.CompletedProcess[str]], uri: str, tmp_path: Path
) -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:20, :20] = 255
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "one.png")
    (tmp_path / "images" / "two.jpg").write_bytes(b"\xff\xd8 cut")
    listed = program("models", "--json", EFFICIENTDET_REGISTRY=uri)
    pulled = program("pull", "squares@champion", "--output", tmp_path / "model", EFFICIENTDET_REGISTRY=uri)
    model, images = tmp_path / "model" / "model.tflite", tmp_path / "images"
    files = [f"--{name}={tmp_path / name}" for name in ("json-lines", "coco", "csv")]
    found = program("infer", "--model", model, "--input", images, "--output", tmp_path / "out", *files)
    by_name = program("infer", "--model", "squares", "--input", images, "--json=-", EFFICIENTDET_REGISTRY=uri)
    for done in (listed, pulled, found, by_name):
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == "loaded"
    assert pulled.stdout == f"squares@1 is in {tmp_path / 'model'}, sums verified\n"
    assert set(verify_manifest(tmp_path / "model")["files"]) == {"model.tflite", "label_map.json", "config.yaml"}
    assert "two.jpg: skipped, " in found.stderr
    [image] = json.loads((tmp_path / "out" / "detections.json").read_text())["images"]
    [detection] = image["detections"]
    assert detection["class"] == "square"
    # 80x40 fits the 64x64 input at scale 0.8: its upper left quarter is 40x40 pixels of the image
    assert detection["box"] == {"ymin": 0, "xmin": 0, "ymax": 40, "xmax": 40}
    assert (tmp_path / "out" / "pictures" / "one.png").is_file()
    answer = json.loads(by_name.stdout)
    assert answer["model"]["file"] == "squares@1"
    assert answer["images"] == [image]


def test_errors_are_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, uri: str, tmp_path: Path
) -> None:
    for words, code, sentence in (
        (["pull", "square", "--registry", uri], 4, f"{uri}: there is no model 'square'; did you mean squares?"),
        (
            ["pull", "squares@2", "--registry", uri],
            4,
            f"{uri}: squares has no version or alias '2'; there are champion, 1",
        ),
        (["pull", "a/b", "--registry", uri], 1, "'a/b': not a model reference; write NAME, NAME@champion or NAME@3"),
    ):
        monkeypatch.setattr("sys.argv", ["efficientdet", *words, "--output", str(tmp_path / "model")])
        with pytest.raises(SystemExit, match=str(code)):
            main()
        assert capsys.readouterr() == ("", f"efficientdet: {sentence}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["pull", "squares"],
        ["pull", "squares", "--output", "x", "--format", "onnx"],
        ["train"],
        ["infer", "--score", "2"],
    ],
)
def test_wrong_usage_exits_with_2(run: Callable[..., Result], words: list[str]) -> None:
    assert run(*words).exit_code == 2


def test_demo_data(run: Callable[..., Result], tmp_path: Path) -> None:
    answer = run("demo-data", "--output", tmp_path / "data", "--images", 6, "--seed", 3)
    assert answer.exit_code == 0, answer.exception
    assert len(list((tmp_path / "data" / "train").glob("*.jpg"))) == 6
    assert len(list((tmp_path / "data" / "eval").glob("*.jpg"))) == 1


def test_demo_data_without_scikit_learn(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert "pip install scikit-learn" in str(run("demo-data", "--output", tmp_path / "data").exception)


def test_version_and_help(run: Callable[..., Result]) -> None:
    assert run("--version").output == "efficientdet, version 0.1.0\n"
    assert {"train", "models", "pull", "infer", "demo-data"} <= set(run("--help").output.split())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; make room, or write elsewhere"),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), "/a: Permission denied; check the path and who may"),
        (OSError("out of order"), "out of order"),
    ],
)
def test_what_the_system_refuses_is_a_sentence(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr("efficientdet.cli.cli", refuse)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    assert capsys.readouterr().err.startswith(f"efficientdet: {said}")
