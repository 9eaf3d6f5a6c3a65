"""The demo page in a real browser, with a model pulled from the registry by the command that users type."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet.image_source import read_image
from efficientdet.letterbox_numpy import letterbox
from efficientdet.registry import open_registry
from efficientdet.tflite_detector import TFLiteDetector
from tests.efficientdet.chromium import Chromium
from tests.efficientdet.same_boxes import assert_same

PHOTOS = ("burger.jpg", "cats_and_dogs.jpg", "multi_objects.jpg", "parrot.jpg", "pets.jpg")
RECORDS = "demo.answer.detections"


@pytest.fixture(scope="module")
def address(tiny_export: Any, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is, of the registered champion and with real photos to try."""
    folder = tmp_path_factory.mktemp("registry") / "registry"
    registry = open_registry(folder)
    version = registry.register(tiny_export.folder, "pets")
    registry.set_alias("pets", "champion", version.version)
    words = ["demo-page", "--model=pets@champion", f"--registry={folder}", "--port=0", f"--images={shared}/data/images"]
    program = "from efficientdet.cli import main; main()"
    command = [sys.executable, "-u", "-c", program, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline()
        found = re.fullmatch(r"pets@1 is at (http://127\.0\.0\.1:\d+/) until Ctrl-C\n", said)
        if not found:
            error = process.stderr.read()
            if "npm cannot fetch it" in error or "npm, which fetches it, is not installed" in error:
                pytest.skip(f"tasks-vision: {error}")
            raise AssertionError(said + error)
        yield found[1]
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium here; install Debian's package chromium")
    browser = Chromium(program)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Chromium, address: str) -> Iterator[Chromium]:
    """The page with its model started; nothing goes wrong in it and it asks nobody else."""
    browser.open(address)
    browser.wait_for("document.body?.dataset.state === 'ready'")
    yield browser
    assert not browser.errors()
    strangers = [url for url in browser.requests() if not url.startswith((address, "data:", f"blob:{address}"))]
    assert not strangers


def test_it_says_which_model_it_is(page: Chromium):
    assert page.evaluate("document.title") == "pets@1 · EfficientDet"
    assert "efficientdet-lite0 · 64 × 64 · 3 classes" in page.evaluate("document.body.innerText")
    assert page.evaluate("document.querySelectorAll('#samples img').length") == 6


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_shows_the_boxes_of_our_own_detector(
    name: str, page: Chromium, address: str, tiny_export: Any, shared: Path
):
    page.open(f"{address}?image=/images/{name}&score=0.05")
    page.wait_for("document.body?.dataset.state === 'done'")
    detector = TFLiteDetector(tiny_export.folder / "model_int8.tflite", num_threads=1)
    found = page.evaluate(RECORDS)
    assert_same(found, detector, read_image(shared / "data/images" / name))
    shown = [one for one in found if one["score"] >= 0.05]
    assert page.evaluate("document.querySelectorAll('#detections li').length") == len(shown)
    assert page.evaluate("document.getElementById('count').textContent") == str(len(shown))
    assert re.fullmatch(r"[\d.]+ ms", page.evaluate("document.getElementById('ms').textContent"))


def test_a_dropped_file_and_the_slider(page: Chromium, shared: Path):
    content = base64.b64encode((shared / "data/images/pets.jpg").read_bytes()).decode()
    page.evaluate(f"""(() => {{
        const bytes = Uint8Array.from(atob("{content}"), (c) => c.charCodeAt(0));
        const dropped = new DataTransfer();
        dropped.items.add(new File([bytes], "pets.jpg", {{ type: "image/jpeg" }}));
        window.dispatchEvent(new DragEvent("drop", {{ dataTransfer: dropped }}));
    }})()""")
    page.wait_for("document.body.dataset.state === 'done'")
    scores = sorted(page.evaluate(f"{RECORDS}.map(({{score}}) => score)"))
    distinct = sorted(set(scores))  # a slider rounds its value, so it stands between two of them
    middle = sum(distinct[len(distinct) // 2 - 1 : len(distinct) // 2 + 1]) / 2
    page.evaluate(f"""(() => {{
        const slider = document.getElementById("threshold");
        slider.step = "any";
        slider.max = 1;
        slider.value = {middle};
        slider.dispatchEvent(new Event("input"));
    }})()""")
    shown = page.evaluate("document.querySelectorAll('#detections li').length")
    assert shown == sum(score >= middle for score in scores) < len(scores)
    assert page.evaluate("document.getElementById('stage').getBoundingClientRect().height") > 100


def test_what_is_no_picture_is_a_sentence(page: Chromium):
    page.evaluate("""(() => {
        const dropped = new DataTransfer();
        dropped.items.add(new File(["not a picture"], "notes.txt"));
        window.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped }));
    })()""")
    page.wait_for("document.body.dataset.state === 'error'")
    said = page.evaluate("document.getElementById('status').textContent")
    assert said == "notes.txt is not a picture that this browser can read."


def test_the_camera_runs_until_it_is_stopped(page: Chromium):
    page.evaluate("document.getElementById('camera').click()")
    page.wait_for("demo.frames.length > 1")
    assert page.evaluate("document.body.dataset.state") == "camera"
    assert "pictures a second" in page.evaluate("document.getElementById('fps').textContent")
    page.evaluate("document.getElementById('camera').click()")
    assert page.evaluate("demo.stream === null && document.body.dataset.state") == "done"


def test_the_library_reports_nothing_to_its_maker(page: Chromium):
    """It would once a minute, and when it is closed; the fixture looks at what was asked for."""
    page.evaluate("demo.detector.task.close()")
    assert page.evaluate("fetch('https://example.org/log').catch((error) => error.message)") == (
        "this page reaches its own server only"
    )


def test_its_letterbox_is_ours_bit_for_bit(page: Chromium):
    rng = np.random.default_rng(0)
    for height, width, size in ((30, 47, (64, 64)), (200, 111, (64, 64)), (64, 64, (64, 64)), (5, 333, (96, 128))):
        image = rng.integers(0, 256, (height, width, 4)).astype(np.uint8)
        image[..., 3] = 255
        content = base64.b64encode(image.tobytes()).decode()
        expected, scale = letterbox(image[..., :3], size, (123.7, 116.3, 103.5))
        about = f"{{ height: {size[0]}, width: {size[1]}, pad: [124, 116, 104] }}"
        found = page.evaluate(f"""(async () => {{
            const {{ letterbox }} = await import("./letterbox.js");
            const bytes = Uint8ClampedArray.from(atob("{content}"), (c) => c.charCodeAt(0));
            const {{ pixels, scale }} = letterbox(new ImageData(bytes, {width}, {height}), {about});
            return [[...pixels], scale];
        }})()""")
        np.testing.assert_array_equal(np.array(found[0], np.uint8).reshape(expected.shape), expected)
        assert found[1] == scale
