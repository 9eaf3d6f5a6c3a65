"""Nothing is locked in: COCO to examples and back gives the same ids, boxes, categories, crowds and areas."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from efficientdet.data.admission import admit_all
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.coco_writer import write_coco
from efficientdet.data.example import AnnotatedImage, serialise
from efficientdet.data.ledger import Ledger
from efficientdet.data.mask import encode_mask
from efficientdet.data.tfod_classes import TfodClasses
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

LABELS = LabelMap.from_categories([{"id": 90, "name": "toothbrush"}, {"id": 7, "name": "train"}])
OURS = TfodClasses.of_examples(LABELS)


def image(source_id: str = "7", file_name: str = "a.png", boxes: Sequence[Any] = (), **more: Any) -> AnnotatedImage:
    """A black image of 30x20 with these boxes, all trains of area 5."""
    buffer, count = io.BytesIO(), len(boxes)
    Image.new("L", (30, 20)).save(buffer, "PNG")
    fields = {
        "classes": np.ones(count, np.int32),
        "is_crowd": np.zeros(count, np.bool_),
        "area": np.full(count, 5, np.float32),
        "difficult": np.zeros(count, np.bool_),
    }
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    return AnnotatedImage(source_id, file_name, buffer.getvalue(), "png", 20, 30, corners, **(fields | more))


def records(path: Path, images: Sequence[AnnotatedImage | bytes], labels: LabelMap = LABELS) -> Path:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for content in images:
            writer.write(content if isinstance(content, bytes) else serialise(content, labels))
    return path


def written(folder: Path, images: Sequence[AnnotatedImage | bytes]) -> tuple[dict[str, Any], Ledger]:
    ledger = write_coco([records(folder / "a.gz", images)], OURS, folder / "out")
    return json.loads((folder / "out/instances.json").read_text()), ledger


def there_and_back(folder: Path, annotations: Path, images: Path, **more: Any) -> dict[str, Any]:
    """A COCO file that has become examples, and COCO again in `folder`/out."""
    labels = coco_label_map([annotations])
    classes = {label.category_id: label.id for label in labels}
    masks = bool(more.get("masks"))
    admitted = admit_all(read_coco([annotations], **more), images.parent, images.name, classes, masks)
    path = records(folder / "a.gz", [image for image, _ in admitted if image], labels)
    ledger = write_coco([path], TfodClasses.of_examples(labels), folder / "out")
    assert not ledger.findings
    return json.loads((folder / "out/instances.json").read_text())


def by_image(instances: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in instances["images"]}
    for annotation in instances["annotations"]:
        found[annotation["image_id"]].append(annotation)
    return found


def require_same(back: dict[str, Any], first: dict[str, Any]) -> None:
    """The law of the round trip."""
    assert [{k: c[k] for k in ("id", "name")} for c in first["categories"]] == back["categories"]
    keys = ("id", "file_name", "height", "width")
    assert [{key: entry[key] for key in keys} for entry in first["images"]] == back["images"]
    assert len({annotation["id"] for annotation in back["annotations"]}) == len(back["annotations"])
    sides = {entry["id"]: max(entry["height"], entry["width"]) for entry in first["images"]}
    for (number, expected), found in zip(by_image(first).items(), by_image(back).values(), strict=True):
        for key in ("category_id", "iscrowd"):
            assert [a[key] for a in found] == [a[key] for a in expected]
        # Of three roundings to float32, each of half a unit in the last place.
        tolerance = 2**-22 * sides[number] + 1e-6
        boxes = [np.reshape([a["bbox"] for a in own], (-1, 4)) for own in (found, expected)]
        np.testing.assert_allclose(*boxes, atol=tolerance, rtol=0)
        np.testing.assert_allclose([a["area"] for a in found], [a["area"] for a in expected], rtol=2**-23)


def test_a_real_data_set_comes_back(shared: Path, tmp_path: Path) -> None:
    annotations = shared / "data/coco_mini/annotations/instances_val2017.json"
    first = json.loads(annotations.read_text())
    back = there_and_back(tmp_path, annotations, shared / "data/coco_mini/val2017")
    require_same(back, first)
    for entry in first["images"]:
        file = shared / "data/coco_mini/val2017" / entry["file_name"]
        assert (tmp_path / "out/images" / entry["file_name"]).read_bytes() == file.read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images", "instances.json"]


def test_cocos_own_library_reads_it(shared: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    whole = json.loads((shared / "data/coco_mini/annotations/instances_val2017.json").read_text())
    crowds = [a["image_id"] for a in whole["annotations"] if a["iscrowd"]]
    chosen = {*crowds[:3], *(entry["id"] for entry in whole["images"][:5])}
    whole["images"] = [entry for entry in whole["images"] if entry["id"] in chosen]
    whole["annotations"] = [a for a in whole["annotations"] if a["image_id"] in chosen]
    annotations = tmp_path / "few.json"
    annotations.write_text(json.dumps(whole))
    there_and_back(tmp_path, annotations, shared / "data/coco_mini/val2017", masks=True)
    with contextlib.redirect_stdout(io.StringIO()):
        back, first = COCO(str(tmp_path / "out/instances.json")), COCO(str(annotations))
    assert back.getImgIds() == first.getImgIds()
    assert back.getCatIds() == first.getCatIds()
    for number in first.getImgIds():
        pairs = zip(back.imgToAnns[number], first.imgToAnns[number], strict=True)
        for ours, theirs in pairs:
            np.testing.assert_array_equal(back.annToMask(ours), first.annToMask(theirs))


@st.composite
def data_sets(draw: st.DrawFn) -> dict[str, Any]:
    """COCO instances of images of any size with boxes in them; ids, areas and flags are any."""
    ids = draw(st.lists(st.integers(0, 10**15), min_size=1, max_size=3, unique=True))
    categories = draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=3, unique=True))
    sizes = [draw(st.tuples(st.integers(1, 60), st.integers(1, 4000))) for _ in ids]
    images = [{"id": n, "file_name": f"{n}.png", "height": h, "width": w} for n, (h, w) in zip(ids, sizes, strict=True)]
    annotations = []
    for entry in images * 2:
        low, high = st.floats(0, 0.875), st.floats(0.0625, 0.9375)
        x, y = draw(low) * entry["width"], draw(low) * entry["height"]
        bbox_xywh = [x, y, draw(high) * (entry["width"] - x), draw(high) * (entry["height"] - y)]
        fields = {"category_id": draw(st.sampled_from(categories)), "iscrowd": draw(st.integers(0, 1))}
        area = draw(st.floats(0.001, 1e6))
        own = {"id": len(annotations) + 1, "image_id": entry["id"], "bbox": bbox_xywh, "area": area, **fields}
        # The same box twice would be merged.
        others = [a for a in annotations if a["image_id"] == entry["id"]]
        annotations += [own] if all(np.abs(np.subtract(a["bbox"], bbox_xywh)).max() > 0.01 for a in others) else []
    named = [{"id": number, "name": f"class {number}"} for number in sorted(categories)]
    return {"images": images, "annotations": annotations, "categories": named}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=data_sets())
def test_any_data_set_comes_back(tmp_path_factory: pytest.TempPathFactory, first: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("law")
    (folder / "train").mkdir()
    for entry in first["images"]:
        Image.new("L", (entry["width"], entry["height"])).save(folder / "train" / entry["file_name"])
    (folder / "a.json").write_text(json.dumps(first))
    require_same(there_and_back(folder, folder / "a.json", folder / "train"), first)


def test_boxes_at_the_border_still_end_there(tmp_path: Path) -> None:
    """So that nothing is clipped when the data set is read again."""
    boxes = [(y, x, 20, 30) for y, x in np.random.default_rng(0).uniform(0, 19, (200, 2))]
    instances, _ = written(tmp_path, [image(boxes=boxes)])
    classes = {label.category_id: label.id for label in LABELS}
    entries = read_coco([tmp_path / "out/instances.json"])
    ledger = sum((own for _, own in admit_all(entries, tmp_path / "out", "images", classes)), Ledger())
    assert (ledger.boxes.kept, ledger.boxes.clipped.total()) == (200, 0)
    assert instances["annotations"][0]["segmentation"] == []


def test_ids_that_are_no_numbers_get_one_and_are_kept_beside(tmp_path: Path) -> None:
    ids = ["b.png", "7", "007", str(2**60), "900100256144", "-1", "1e3"]
    images = [image(name, f"{i}.png", [(0, 0, 9, 9)]) for i, name in enumerate(ids)]
    instances, _ = written(tmp_path, images)
    found = [(entry["id"], entry.get("source_id")) for entry in instances["images"]]
    top = 900100256144
    expected = [(top + 1, "b.png"), (7, None), (top + 2, "007"), (top + 3, str(2**60)), (top, None)]
    assert found == [*expected, (top + 4, "-1"), (top + 5, "1e3")]
    assert [a["image_id"] for a in instances["annotations"]] == [entry["id"] for entry in instances["images"]]
    assert [a["id"] for a in instances["annotations"]] == list(range(1, 8))


def test_what_coco_has_no_key_for_is_carried(tmp_path: Path) -> None:
    mask = encode_mask({"counts": [5, 20, 575], "size": [20, 30]}, 20, 30)
    more = {"difficult": np.array([True, False]), "masks": (mask, b""), "captions": ("ä train", "of trains")}
    instances, _ = written(tmp_path, [image(boxes=[(0, 0, 9, 9), (1, 1, 9, 9)], group="film 3", **more), image("8")])
    first, second = instances["annotations"]
    assert (first["difficult"], "difficult" in second) == (1, False)
    assert (first["segmentation"], second["segmentation"]) == ({"counts": [5, 20, 575], "size": [20, 30]}, [])
    assert (first["bbox"], first["area"], first["category_id"]) == ([0, 0, 9, 9], 5, 7)
    assert [entry.get("group") for entry in instances["images"]] == ["film 3", None]
    captions = json.loads((tmp_path / "out/captions.json").read_text())
    rows = [(a["id"], a["image_id"], a["caption"]) for a in captions["annotations"]]
    assert rows == [(1, 7, "ä train"), (2, 7, "of trains")]
    assert captions["images"] == instances["images"]
    again = list(read_coco([tmp_path / "out/instances.json"], [tmp_path / "out/captions.json"]))
    assert [list(entry.captions) for entry in again[:2]] == [["ä train", "of trains"], []]


def test_no_name_in_a_record_leads_out_of_the_folder(tmp_path: Path) -> None:
    names = ["../../evil.png", "/evil.png", "deep/a.png", "a\0b", "\udcff.png"]
    images = [image(str(i), name, [(0, 0, i + 1, 9)]) for i, name in enumerate(names)]
    instances, _ = written(tmp_path, images)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gz", "out"]
    assert not Path("/evil.png").exists()
    given = [entry.get("original_file_name") for entry in instances["images"]]
    assert given == ["../../evil.png", "/evil.png", None, "a\0b", "\\udcff.png"]
    for entry in instances["images"]:
        path = tmp_path / "out/images" / entry["file_name"]
        assert path.resolve().is_relative_to(tmp_path / "out/images")
        assert path.read_bytes() == images[0].encoded


def test_what_no_json_can_hold_is_accounted_for(tmp_path: Path) -> None:
    nan = image("1", boxes=[(0, 0, np.nan, 9), (0, 0, 9, 9)])
    unknown = serialise(image("2", boxes=[(0, 0, 9, 9)]), LabelMap.from_names(["plane"]))
    instances, ledger = written(tmp_path, [nan, unknown, b"\x0ano example"])
    assert len(instances["annotations"]) == 1
    assert len(instances["images"]) == 2
    assert ledger.boxes.dropped == {"malformed box": 1, "unknown category": 1}
    assert ledger.images.dropped == {"malformed record": 1}
    ledger.require_balance("out")


def test_a_record_without_a_size_has_that_of_its_image(tmp_path: Path) -> None:
    example = tf.train.Example.FromString(serialise(image(boxes=[(0, 0, 10, 15)]), LABELS))
    del example.features.feature["image/height"]
    broken = tf.train.Example.FromString(example.SerializeToString())
    broken.features.feature["image/encoded"].bytes_list.value[0] = b"no image"
    instances, ledger = written(tmp_path, [example.SerializeToString(), broken.SerializeToString()])
    assert (instances["images"][0]["height"], instances["images"][0]["width"]) == (20, 30)
    assert instances["annotations"][0]["bbox"] == [0, 0, 15, 10]
    assert ledger.images.dropped == {"undecodable image": 1}


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    path = records(tmp_path / "a.gz", [image()])
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    (tmp_path / "file").touch()
    for taken in ("out", "file"):
        with pytest.raises(DataError, match=f"{taken}: is not an empty folder; name a new one"):
            write_coco([path], OURS, tmp_path / taken)
    (tmp_path / "out/mine").unlink()
    write_coco([path], OURS, tmp_path / "out")
    assert (tmp_path / "out/instances.json").is_file()


@pytest.mark.parametrize("content", [[], [b"\x0ano example"], None])
def test_nothing_is_left_where_nothing_could_be_written(tmp_path: Path, content: list[bytes] | None) -> None:
    path = records(tmp_path / "a.gz", content or [])
    if content is None:
        path.write_bytes(b"no records at all")
    with pytest.raises(DataError, match=r"there is not one image in the records|holds no TFRecords"):
        write_coco([path], OURS, tmp_path / "new/out")
    assert list((tmp_path / "new").iterdir()) == []


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(200_000)
    for count in (4, 40):
        pictures = (image(str(i), boxes=[(0, 0, 9, 9)] * 50) for i in range(count))
        padded = [AnnotatedImage(**(vars(one) | {"encoded": one.encoded + noise})) for one in pictures]
        records(tmp_path / f"{count}.gz", padded)
        del padded
    peaks = []
    for count in (4, 4, 40):
        gc.collect()
        tracemalloc.start()
        write_coco([tmp_path / f"{count}.gz"], OURS, tmp_path / f"out{len(peaks)}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 400_000
