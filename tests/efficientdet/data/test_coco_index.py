"""COCO's lists on disk: what belongs together, in time that no number of equal ids or names makes quadratic."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from efficientdet.data.annotation import ImageAnnotation, Read
from efficientdet.data.coco import read_coco
from efficientdet.data.coco_index import LONGEST_CAPTION, MOST_CAPTIONS, CocoIndex, text_id, whole_number
from efficientdet.data.ledger import Finding


def index(path: Path, *documents: dict[str, Any], **options: Any) -> CocoIndex:
    files = [path / f"{number}.json" for number, _ in enumerate(documents)]
    for file, document in zip(files, documents, strict=True):
        file.write_text(json.dumps(document))
    return CocoIndex(files, **options)


def test_rows_are_as_listed(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "a/./b.jpg", "height": 3, "width": 4.0, "video": 5}, None, {"id": "x"}]
    found = index(tmp_path, {"images": images}, {"images": images[:1]}, group_by="video")
    assert found.images == 4
    rows = list(found.rows())
    assert [(row.file, row.position, row.id, row.image, row.size, row.group, row.usable) for row in rows] == [
        (0, 0, "7", "a/./b.jpg", (3, 4), "5", True),
        (0, 1, "", "", (0, 0), "", False),
        (0, 2, "x", "", (0, 0), "", False),
        (1, 0, "7", "a/./b.jpg", (3, 4), "5", True),
    ]
    assert [row.row for row in found.same_file(rows[3])] == [rows[0].row, rows[3].row]


def test_annotations_go_to_one_entry_of_their_id_and_file(tmp_path: Path) -> None:
    images = [{"id": 1}, {"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}, {"id": 2}, {"id": 2}]
    annotations = [{"image_id": "1", "id": 5, "junk": 1}, {"image_id": 2.0}, {"image_id": 3}, 5, {}]
    found = index(tmp_path, {"images": images, "annotations": annotations}, {"images": images, "annotations": []})
    owned = [list(found.annotations(row)) for row in found.rows()]
    assert owned == [[], [(0, {"id": 5})], [], [(1, {})], [], *[[]] * 5]
    assert [(image_id, position) for _, image_id, position, _ in found.strays()] == [("3", 2), ("", 3), ("", 4)]
    assert found.boxes == 5
    assert [row.usable for row in found.rows()][:3] == [False, True, False]


def test_captions_are_bounded(tmp_path: Path) -> None:
    annotations = [{"image_id": 1, "caption": "x" * 20_000}] * 200
    found = index(tmp_path, {"images": [{"id": 1, "file_name": "a"}], "annotations": annotations})
    assert found.boxes == 0
    assert list(map(len, found.captions(next(found.rows())))) == [LONGEST_CAPTION] * MOST_CAPTIONS


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        (7, "7", 7),
        (7.0, "7", 7),
        ("7", "7", 7),
        ("a", "a", None),
        (7.5, "", None),
        (True, "", None),
        (None, "", None),
        ([7], "", None),
        (float("nan"), "", None),
        (10**30, "1" + "0" * 30, 10**30),
        ("9" * 5000, "9" * 5000, None),
        ("\ud800", r"\ud800", None),
        ("٧", "٧", None),
    ],
)
def test_ids_are_text_and_numbers_are_whole(value: object, text: str, number: int | None) -> None:
    assert text_id(value) == text
    assert whole_number(value) == number


@pytest.mark.parametrize(
    ("entry", "reason", "part"),
    [
        (lambda i, n: {"id": 1, "file_name": "a"}, "same file", 1),
        (lambda i, n: {"id": i, "file_name": "a"}, "same file", 1),
        (lambda i, n: {"id": 1, "file_name": f"{i}"}, "duplicate image id", 1),
        (lambda i, n: {"id": 1}, "malformed record", 1),
        (lambda i, n: {"id": 1, "file_name": "a" if i >= n // 2 else ""}, "same file", 1 / 2),
        (lambda i, n: {"id": i, "file_name": "a", "height": "x" if i < n // 2 else 1}, "same file", 1 / 2),
        (lambda i, n: {"id": i % 2, "file_name": "ab"[i % 2] if i < 2 else "a"}, "duplicate image id", 1 / 2),
        (lambda i, n: {"id": i, "file_name": "a", "height": i + 1}, "two sizes", 1),
    ],
)
def test_equal_ids_and_names_cost_no_more_than_others(
    tmp_path: Path, entry: Callable[[int, int], dict[str, Any]], reason: str, part: float, steps: list[int]
) -> None:
    """Four times as many take four times as many steps of the data base; sixteen times would be quadratic."""
    taken = []
    for many in (1000, 4000):
        path = tmp_path / f"{many}.json"
        annotations = [{"id": i, "image_id": 1, "bbox": [0, 0, 1, 1]} for i in range(many)]
        path.write_text(json.dumps({"images": [entry(i, many) for i in range(many)], "annotations": annotations}))
        steps.clear()
        *found, counted = read_coco([path, path])
        taken.append(len(steps))
        images = [each for each in found if isinstance(each, ImageAnnotation)]
        findings = [each for each in found if isinstance(each, Finding)]
        of_images = sum(finding.of == "image" for finding in findings)
        boxes = sum(len(image.boxes) for image in images) + len(findings) - of_images
        assert counted == Read(len(images) + of_images, boxes) == Read(2 * many, 2 * many)
        reasons = [*(finding.reason for finding in findings), *(image.problem[0] for image in images if image.problem)]
        assert reasons.count(reason) >= 2 * many * part - 2
    assert taken[1] < 6 * taken[0]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every hundred steps of SQLite's machine."""
    taken: list[int] = []
    connect = sqlite3.connect

    def counted(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_progress_handler(lambda: taken.append(1), 100)
        return connection

    monkeypatch.setattr(sqlite3, "connect", counted)
    return taken


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More than SQLite keeps in memory."""
    images = [{"id": i, "file_name": f"{i:0100d}"} for i in range(50_000)]
    (tmp_path / "a.json").write_text(json.dumps({"images": images}))
    return tmp_path / "a.json"


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program that sorts in `folder`."""
    environment = {**os.environ, "SQLITE_TMPDIR": str(folder)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def test_what_is_sorted_leaves_no_file(large: Path, tmp_path: Path) -> None:
    """SQLite's file has no name: it goes with the process, however that ends."""
    folder = tmp_path / "sorted"
    folder.mkdir()
    program = f"""
import os, signal
from pathlib import Path
from efficientdet.data.coco_index import CocoIndex
index = CocoIndex([{str(large)!r}])
opened = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
print(*[path for path in opened if path.startswith({str(folder)!r})], os.listdir({str(folder)!r}), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = run(program, folder)
    assert done.returncode == -9, done.stderr
    assert "(deleted)" in done.stdout
    assert done.stdout.endswith(" []\n")
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_one_sentence(large: Path, tmp_path: Path) -> None:
    program = f"""
import resource
from efficientdet.data.coco_index import CocoIndex
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
CocoIndex([{str(large)!r}])
"""
    last = run(program, tmp_path).stderr.splitlines()[-1]
    assert last.startswith(f"efficientdet.errors.DataError: {large}: the annotations cannot be sorted on disk (")
    assert last.endswith("make room in the temporary folder, or name another one in SQLITE_TMPDIR")
