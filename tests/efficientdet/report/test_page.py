"""The whole page, in a real browser."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.best_threshold import best_thresholds
from efficientdet.blessing import Blessing, Rule
from efficientdet.coco_metric import Groundtruth
from efficientdet.data.ledger import Count, Finding, Ledger
from efficientdet.label_map import LabelMap
from efficientdet.report import page
from efficientdet.report.page import write_report
from efficientdet.scored_image import Found, ScoredImage

A, B, FAR = (0, 0, 40, 40), (100, 40, 40, 40), (150, 0, 10, 10)
HOSTILE = [
    "<script>window.hacked = 1</script>",
    "\"'><img src=x onerror='window.hacked = 2'>",
    "</style></title></svg><script>window.hacked = 3</script>",
    "naïve 狗 🐕 ‮ a\x00b\ud800",
    "&lt;b&gt; javascript:window.hacked=4",
    "long" * 500,
]
OVERFLOW = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def jpeg(seed: int, width: int = 200, height: int = 100) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    stored = io.BytesIO()
    Image.fromarray(noise).resize((width, height)).save(stored, "JPEG")
    return stored.getvalue()


@pytest.fixture
def check(browser, tmp_path: Path):
    """Writes a page, opens it on a desktop and on a phone, and asserts what holds for every page."""

    def check(images, label_map: LabelMap, **options) -> dict[str, dict[int, float]]:
        path = tmp_path / "report.html"
        thresholds = write_report(path, images, label_map, **options)
        assert path.stat().st_size <= page.MOST_BYTES
        assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
        for width in (1200, 390):
            browser.open(path, width)
            assert browser.complaints() == []
            assert browser.requests() == [path.as_uri()]
            assert not browser.evaluate(OVERFLOW), width
            assert browser.evaluate("[document.scripts.length, window.hacked ?? 0]") == [1, 0]
        return thresholds

    return check


def rows(browser, section: str, table: int = 0) -> list[list[str]]:
    """The cells of a table as they are shown."""
    cells = "[...row.cells].map((cell) => cell.textContent)"
    where = f"document.querySelector('#{section}').parentNode.querySelectorAll('table')[{table}]"
    return browser.evaluate(f"[...{where}.rows].map((row) => {cells})")


def test_real_detections(check, browser, shared: Path) -> None:
    """The published SSD-MobileNet on coco_mini, whose AP is known."""
    dataset = json.loads((shared / "data/coco_mini/annotations/instances_val2017.json").read_text())
    results = json.loads((shared / "data/golden/ssd_mobilenet_v1_on_coco_mini_val.json").read_text())
    label_map = LabelMap.from_categories(dataset["categories"])
    images = list(coco_images(dataset, results, label_map))
    folder = shared / "data/coco_mini/val2017"
    pictures = ((str(image["id"]), (folder / image["file_name"]).read_bytes()) for image in dataset["images"])
    thresholds = check(images, label_map, pictures=pictures)
    assert thresholds == {"float": best_thresholds(images, "float")}
    assert rows(browser, "scores")[1:3] == [["AP IoU .50 to .95", "0.205"], ["AP50 IoU .50", "0.333"]]
    assert browser.evaluate("document.querySelectorAll('.pictures figure').length") > 50
    uses = "[...document.querySelectorAll('.pictures use')].map((use) => use.getAttribute('href'))"
    assert browser.evaluate(f"{uses}.every((name) => document.querySelector(name))"), "every figure has its picture"


def coco_images(dataset: dict, results: list[dict], label_map: LabelMap):
    ids = {label.category_id: label.id for label in label_map}
    for image in dataset["images"]:
        annotations = [a for a in dataset["annotations"] if a["image_id"] == image["id"]]
        found = sorted((r for r in results if r["image_id"] == image["id"]), key=lambda r: -r["score"])
        columns = ([ids[a["category_id"]] for a in annotations], [a["iscrowd"] for a in annotations])
        truth = Groundtruth([a["bbox"] for a in annotations], *columns, [a["area"] for a in annotations])
        boxes = np.array([r["bbox"] for r in found]).reshape(-1, 4)
        classes = np.array([ids[r["category_id"]] for r in found], np.int32)
        detections = Found(boxes, classes, np.array([r["score"] for r in found]))
        yield ScoredImage(str(image["id"]), image["height"], image["width"], truth, {"float": detections})


def test_names_of_strangers_are_only_text(check, browser, scene) -> None:
    found = {
        name: [(1, A, 0.9), (2, A, 0.8), (3, FAR, 0.9)] for name in ("float", HOSTILE[0], f"champion/{HOSTILE[1]}")
    }
    images = [scene(name, [(1, A), (4, B), (5, FAR)], **found) for name in HOSTILE]
    finding = Finding(*HOSTILE[:4])
    rules = (Rule(HOSTILE[0], 0.1, 0.2, "FAILED", HOSTILE[1]), Rule(HOSTILE[2], None, None, "SKIPPED", HOSTILE[4]))
    blessing = Blessing(rules=rules, split=HOSTILE[2], images_scored=6, images_total=6, metrics={}, champion=HOSTILE[0])
    check(
        images,
        LabelMap.from_names(HOSTILE),
        blessing=blessing,
        ledger={HOSTILE[1]: Ledger(Count(1), Count(1), [finding])},
        title=HOSTILE[2],
        pictures=[(HOSTILE[0], jpeg(0)), (HOSTILE[1], b"no image")],
    )
    text = browser.evaluate("document.body.textContent")
    assert browser.evaluate("document.title") == HOSTILE[2]
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[4], "naïve 狗 🐕 \\u202e a\\x00b\\ud800"):
        assert name in text
    assert len(text) < 200_000


@pytest.mark.parametrize(
    "case", ["no images", "no detections", "no objects", "empty images", "one class", "90 classes"]
)
def test_any_amount_of_data(check, browser, scene, random_images, case: str) -> None:
    images, classes = {
        "no images": ([], 3),
        "no detections": ([scene("1", [(1, A), (2, B)], float=[], int8=[])], 3),
        "no objects": ([scene("1", float=[(1, A, 0.9), (2, B, 0.3)])], 3),
        "empty images": ([scene("1", float=[]), scene("2", float=[])], 3),
        "one class": (random_images(0, classes=1), 1),
        "90 classes": (random_images(1, images=40, classes=90, names=("float", "int8", "champion/float")), 90),
    }[case]
    thresholds = check(images, LabelMap.from_names(f"class {i}" for i in range(1, classes + 1)))
    assert set(thresholds) == {name for image in images for name in image.found}
    assert "nan" not in browser.evaluate("document.body.innerText.toLowerCase()")


def test_a_diverged_model(check, browser, scene) -> None:
    nan = float("nan")
    found = [
        (1, (nan, nan, nan, nan), nan),
        (1, (0.0, 0.0, float("inf"), 4.0), 0.9),
        (2, (-1e30, 0.0, 1e38, 1e38), 1e9),
    ]
    check([scene("1", [(1, A)], float=found)], LabelMap.from_names(["cat", "dog"]), pictures=[("1", jpeg(0))])


def test_the_judgement_and_the_data(check, browser, scene) -> None:
    rules = (Rule("min_float_ap", 0.1, 0.2, "FAILED", "float AP 0.1000 is below its floor 0.2"),)
    blessing = Blessing(rules=rules, split="val", images_scored=1, images_total=1, metrics={})
    ledger = {"val": Ledger(Count(1, 1), Count(3, 3))}
    check(
        [scene("1", [(1, A)], float=[])], LabelMap.from_names(["cat"]), blessing=blessing, ledger=ledger, title="Digits"
    )
    top = browser.evaluate("document.querySelector('header').innerText")
    assert top.split()[:2] == ["Digits", "NOT_BLESSED"]
    assert "float AP 0.1000 is below its floor 0.2" in top
    assert rows(browser, "ledger")[2] == ["val", "boxes", "3", "3", "0", "0", "0"]
    links = browser.evaluate("[...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))")
    assert links[0] == "#rules"
    assert links[-1] == "#ledger"
    assert all(browser.evaluate(f"!!document.querySelector('{link}')") for link in links)


def test_its_script(check, browser, random_images) -> None:
    check(random_images(2, images=20, names=("float", "int8")), LabelMap.from_names(["bee", "ant", "cat"]))
    visible = "[...document.querySelectorAll('.panel')].filter((p) => !p.hidden).map((p) => p.dataset.contender)"
    assert set(browser.evaluate(visible)) == {"float"}
    browser.evaluate("[...document.querySelectorAll('[role=tab]')].find((tab) => tab.textContent === 'int8').click()")
    assert set(browser.evaluate(visible)) == {"int8"}, "everywhere"

    head = "document.querySelector('#classes').parentNode.querySelector('th:nth-child({})').click()"
    browser.evaluate(head.format(1))
    assert [row[0] for row in rows(browser, "classes")[1:]] == ["ant", "bee", "cat"]
    browser.evaluate(head.format(2))
    objects = [int(row[1]) for row in rows(browser, "classes")[1:]]
    assert objects == sorted(objects, reverse=True)
    browser.evaluate(head.format(2))
    assert [int(row[1]) for row in rows(browser, "classes")[1:]] == objects[::-1]

    browser.evaluate(
        "const i = document.querySelector('input[type=search]'); i.value = 'AN'; i.dispatchEvent(new Event('input'))"
    )
    found = "[...document.querySelectorAll('.findable > details')].filter((d) => !d.hidden).map((d) => d.dataset.name)"
    assert browser.evaluate(found) == ["ant"]
    browser.evaluate("document.querySelector('.pictures svg').dispatchEvent(new MouseEvent('click'))")
    assert browser.evaluate("document.querySelector('.pictures figure').className") == "large"
    assert browser.complaints() == []


def test_without_its_script_all_is_shown(browser, tmp_path: Path, random_images) -> None:
    write_report(tmp_path / "a.html", random_images(2, names=("float", "int8")), LabelMap.from_names("abc"))
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(tmp_path / "a.html", 390)
        browser.call("DOM.enable")
        root = browser.call("DOM.getDocument")["root"]["nodeId"]
        html = browser.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert html.count('class="panel"') == 2 * 3, "twelve numbers, thresholds and calibration"
    assert "hidden" not in html.replace('aria-hidden="true"', "").partition("<body>")[2].partition("<script>")[0]


@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_read_in_light_and_in_the_dark(browser, tmp_path: Path, random_images, dark: bool) -> None:
    write_report(tmp_path / "a.html", random_images(2, names=("float", "int8")), LabelMap.from_names("abc"))
    browser.open(tmp_path / "a.html", dark=dark)
    shown = """((selector) => { const e = document.querySelector(selector); const s = getComputedStyle(e);
        const n = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(Number); return [n(s.color), n(s.fill)]; })"""
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (np.mean(paper) < 60) == dark
    for selector in ("body", ".soft", "small", ".down", "nav a", ".badge", "figcaption"):
        if browser.evaluate(f"!!document.querySelector('{selector}')"):
            assert contrast(browser.evaluate(f"{shown}('{selector}')")[0], paper) >= 4.5, selector
    assert contrast(browser.evaluate(f"{shown}('.charts use')")[0], paper) >= 4.5


def contrast(colour: list[float], paper: list[float]) -> float:
    """WCAG's contrast of two colours, RGB 0..255."""
    light, dark = sorted((luminance(colour), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: list[float]) -> float:
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_pictures_are_made_as_small_as_need_be(check, browser, scene, monkeypatch) -> None:
    """Noise does not compress."""
    monkeypatch.setattr(page, "PICTURE_BYTES", 1_000_000)
    noise, stored = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8), io.BytesIO()
    Image.fromarray(noise).save(stored, "PNG", compress_level=1)
    images = [scene(str(i), [(1, A), (2, B)], float=[(2, A, 0.9)], int8=[]) for i in range(60)]
    pictures = ((image.image_id, stored.getvalue()) for image in images)
    check(images, LabelMap.from_names(["cat", "dog"]), pictures=pictures)
    size = sum(browser.evaluate("[...document.querySelectorAll('image')].map((i) => i.getAttribute('href').length)"))
    assert 0.5 * page.PICTURE_BYTES < size <= 1.001 * page.PICTURE_BYTES


def test_what_would_be_too_large_is_shown_in_part(check, browser, random_images, monkeypatch) -> None:
    monkeypatch.setattr(page, "MOST_BYTES", 350_000)
    images = random_images(0, images=40, classes=120, names=("float", "int8", "champion/float"))
    labels = LabelMap.from_names(f"class {i}" for i in range(120))
    check(images, labels, pictures=[(image.image_id, jpeg(0)) for image in images])
    assert "others are left out" in browser.evaluate("document.body.textContent")
    assert len(rows(browser, "scores")) == 13


def test_equal_evaluations_are_equal_pages(tmp_path: Path, random_images) -> None:
    label_map, images = LabelMap.from_names("abc"), random_images(3)
    for name, order in (("a", images), ("b", images[::-1])):
        write_report(tmp_path / name, iter(order), label_map, pictures=[(i.image_id, jpeg(0)) for i in order])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
