"""A real browser to look at pages with, and scored images to make pages of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientdet.coco_metric import Groundtruth
from efficientdet.label_map import LabelMap
from efficientdet.report.study import Study, study
from efficientdet.scored_image import Found, ScoredImage

Box = tuple[float, float, float, float]


class Read(HTMLParser):
    """A page or a part of it, as a browser takes it.

    elements: (tag, attributes). text: all of it. tables: of each table its rows, of each row the text of its cells.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="session")
def read() -> type[Read]:
    """Reads HTML, which must close what it opens."""
    return Read


class Browser:
    """A headless Chromium, driven over a pipe by its own debugging protocol."""

    def __init__(self, program: str, folder: Path) -> None:
        receive, their_write = os.pipe()
        their_read, send = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking"
        # The protocol is spoken over the descriptors 3 and 4.
        shell = f'exec "$0" {flags} --user-data-dir="$1" --remote-debugging-pipe 3<&{their_read} 4>&{their_write}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, program, str(folder)],
            pass_fds=(their_read, their_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_read)
        os.close(their_write)
        self._receive, self._send = os.fdopen(receive, "rb"), os.fdopen(send, "wb")
        self._buffer, self._number, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one command of the protocol; what happens meanwhile is added to `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._send.write(json.dumps(message).encode() + b"\0")
        self._send.flush()
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Loads a file at a width in CSS pixels, as a phone does if it is below 600, and waits for it."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def complaints(self) -> list[str]:
        """Errors and warnings since the page was opened: of its script, of its console, of its policy."""
        self.evaluate("0")
        names = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in names]

    def requests(self) -> list[str]:
        """The addresses that the page asked for since it was opened, but those of data inside it."""
        self.evaluate("0")
        sent = [e["params"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent if not one["request"]["url"].startswith("data:")]

    def close(self) -> None:
        """Ends the program, as it does by itself when nobody speaks to it any more."""
        self._send.close()
        self._receive.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._receive.fileno(), 1 << 16)
            assert part, "the browser has gone"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A running Chromium; tests that look at pages are skipped where none is installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("no Chromium is installed to look at the page with")
    browser = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def scene() -> Callable[..., ScoredImage]:
    """Makes an image of 100x200 pixels of (class, box) and, by contender, of (class, box, score)."""

    def make(image_id: str, truth: list = (), crowds: list = (), **found: list[tuple[int, Box, float]]) -> ScoredImage:
        annotations = [*truth, *crowds]
        boxes = np.array([box for _, box in annotations], float).reshape(-1, 4)
        is_crowd = np.arange(len(annotations)) >= len(truth)
        classes = np.array([class_id for class_id, _ in annotations], np.int32)
        groundtruth = Groundtruth(boxes, classes, is_crowd, boxes[:, 2] * boxes[:, 3])
        return ScoredImage(image_id, 100, 200, groundtruth, {name: _found(listed) for name, listed in found.items()})

    return make


def _found(listed: list[tuple[int, Box, float]]) -> Found:
    ordered = sorted(listed, key=lambda one: -one[2])
    classes, boxes, scores = zip(*ordered, strict=True) if ordered else ((), (), ())
    return Found(np.array(boxes, float).reshape(-1, 4), np.array(classes, np.int32), np.array(scores, float))


@pytest.fixture(scope="session")
def random_images() -> Callable[..., list[ScoredImage]]:
    """Makes images with crowds, ties in score and overlap, near misses, wrong classes, and empty images."""

    def make(
        seed: int, images: int = 6, classes: int = 3, most: int = 12, names: tuple = ("float",)
    ) -> list[ScoredImage]:
        rng = np.random.default_rng(seed)
        return [_random_image(rng, str(7 * i + 1), classes, most, names) for i in rng.permutation(images)]

    return make


def _random_image(rng: np.random.Generator, image_id: str, classes: int, most: int, names: tuple) -> ScoredImage:
    n = int(rng.integers(0, 6))
    truth = np.round(rng.uniform(1, 90, (n, 4)) / 4) * 4 + 4
    truth_classes = rng.integers(1, classes + 1, n).astype(np.int32)
    groundtruth = Groundtruth(truth, truth_classes, rng.random(n) < 0.15, truth[:, 2] * truth[:, 3])
    found = {}
    for name in names:
        m = int(rng.integers(0, most))
        near = (rng.random(m) < 0.8) & (n > 0)
        picked = rng.integers(0, max(n, 1), m)
        boxes, labels = rng.uniform(1, 90, (m, 4)), rng.integers(1, classes + 1, m)
        if n:
            boxes = np.where(near[:, None], truth[picked] + np.round(rng.normal(0, 6, (m, 4))), boxes)
            labels = np.where(near & (rng.random(m) < 0.75), truth_classes[picked], labels)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
        scores = -np.sort(-np.round(rng.random(m), 1))
        found[name] = Found(boxes, labels.astype(np.int32), scores)
    return ScoredImage(image_id, 180, 200, groundtruth, found)


@pytest.fixture(scope="session")
def look() -> Callable[..., Study]:
    """Studies images, whose classes are `class 1`, `class 2` and so on unless they are named."""

    def make(images: list[ScoredImage], names: list[str] | None = None) -> Study:
        return study(images, LabelMap.from_names(names or [f"class {i}" for i in range(1, 4)]))

    return make
