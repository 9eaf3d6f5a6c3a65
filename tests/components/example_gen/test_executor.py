"""Example generation end to end, on TFX's local runner and Beam's: artifacts, splits, spans, caching, refusals."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tfx.dsl.components.base.base_component import BaseComponent

from components.example_gen import CocoExampleGen, VocExampleGen
from efficientdet.data import ledger
from efficientdet.data.demo import write_demo_data
from efficientdet.data.fingerprint import coco_fingerprint, voc_fingerprint
from efficientdet.errors import ConfigError, DataError
from efficientdet.label_map import LabelMap

SPLITS = {"train": "annotations/instances_train.json", "eval": "annotations/instances_eval.json"}
FOLDERS = {"train": "train", "eval": "eval"}
Run = Callable[[BaseComponent], Path]


def coco(base: Path, splits: dict[str, str] = SPLITS, bound: float = 0.0) -> CocoExampleGen:
    folders = {split: FOLDERS.get(split, "train") for split in splits}
    return CocoExampleGen(str(base), splits, folders, bound, coco_fingerprint(base, splits, folders))


def changes(folder: Path) -> set[str]:
    """The records of all lines below `changes`."""
    return {json.loads(line)["record"] for path in (folder / "changes").iterdir() for line in path.open()}


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a JSON file in place and gives it its old time back, as an edit within the same second would."""
    times = path.stat()
    instances = json.loads(path.read_text())
    change(instances)
    path.write_text(json.dumps(instances, indent=1) + "\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_coco_runs_is_cached_and_runs_again_on_any_change(run: Run, records, demo: Path) -> None:
    folder = run(coco(demo))
    for split, count in (("train", 6), ("eval", 3)):
        found = records(folder, split)
        assert len(found) == count
        for name, features in found.items():
            data = (demo / split / name).read_bytes()
            assert features["image/encoded"].bytes_list.value == [data]
            assert features["image/key/sha256"].bytes_list.value == [hashlib.sha256(data).hexdigest().encode()]
    assert LabelMap.load(folder).names == list("0123456789")
    assert ledger.load(folder)["eval"].images.kept == 3
    assert sorted(path.name for path in folder.iterdir()) == [
        "Split-eval",
        "Split-train",
        "label_map.json",
        "ledger.json",
    ]

    assert run(coco(demo)) == folder, "an unchanged data set is not read again"
    before = (demo / SPLITS["train"]).stat()
    edit(demo / SPLITS["train"], lambda d: d["annotations"][0].update(area=d["annotations"][0]["area"] ^ 1))
    after = (demo / SPLITS["train"]).stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    assert run(coco(demo)) != folder, "one changed annotation of the same size and time is noticed"


def test_bad_records_are_counted_and_listed_up_to_the_bound(run: Run, records, demo: Path) -> None:
    image = demo / "train/000001.jpg"
    image.write_bytes(image.read_bytes()[:2000])
    edit(demo / SPLITS["train"], lambda d: d["annotations"].append(d["annotations"][-1] | {"image_id": 99, "id": 999}))
    folder = run(coco(demo, bound=0.9))
    written = json.loads((folder / "ledger.json").read_text())
    train = written["splits"]["train"]
    assert train["images"]["dropped"] == {"undecodable image": 1}
    assert (train["images"]["read"], train["images"]["kept"]) == (6, 5)
    assert train["boxes"]["dropped"].keys() == {"undecodable image", "unknown image id"}
    lost = [finding["record"] for finding in train["findings"] if finding["reason"] == "undecodable image"]
    own = [a["id"] for a in json.loads((demo / SPLITS["train"]).read_text())["annotations"] if a["image_id"] == 1]
    assert lost == [*(f"image 1 (000001.jpg), annotation {number}" for number in own), "image 1 (000001.jpg)"]
    assert "annotation 999" in [finding["record"] for finding in train["findings"]]
    assert len(records(folder, "train")) == 5
    assert changes(folder) == {finding["record"] for finding in train["findings"]}, "each change has its line"

    with pytest.raises(DataError, match=r"^split train: 1 of 6 images \(16\.7%\) cannot be used") as error:
        run(coco(demo, bound=0.1))
    assert "(1 undecodable image), above max_bad_fraction=0.1" in str(error.value)
    refused = folder.parent.parent / "examples-refused.json"
    assert str(refused) in str(error.value)
    assert json.loads(refused.read_text()) == written


def test_annotation_files_of_no_use_stop_at_once(run: Run, demo: Path) -> None:
    (demo / SPLITS["eval"]).write_text("")
    with pytest.raises(DataError, match=r"instances_eval\.json: the annotation file is empty"):
        run(coco(demo))
    with pytest.raises(DataError, match=r"instances_gone\.json: annotation file not found"):
        run(coco(demo, SPLITS | {"eval": "annotations/instances_gone.json"}))
    for path in (demo / "train").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"split train: not one of 6 images can be used; first: .*does not exist"):
        run(coco(demo, {"all": SPLITS["train"]}, bound=1.0))


def test_a_single_split_of_the_latest_span_is_divided_by_content(run: Run, records, tmp_path: Path) -> None:
    for span, count in ((1, 2), (2, 12)):
        write_demo_data(tmp_path / f"data/span-{span}", seed=span, images={"train": count})
    splits, folders = {"all": "span-{SPAN}/annotations/*.json"}, {"all": "span-{SPAN}/train"}
    printed = coco_fingerprint(tmp_path / "data", splits, folders)
    folder = run(CocoExampleGen(str(tmp_path / "data"), splits, folders, 0.0, printed))
    train, evaluation = records(folder, "train"), records(folder, "eval")
    assert len(train) + len(evaluation) == 12
    assert not train.keys() & evaluation.keys()
    assert evaluation
    ledgers = ledger.load(folder)
    assert {split: account.images.kept for split, account in ledgers.items()} == {
        "train": len(train),
        "eval": len(evaluation),
    }


@pytest.mark.parametrize("way", [{"group_by": "video"}, {"group_pattern": r"^0000(.)"}], ids=["field", "name"])
def test_a_group_is_never_divided(run: Run, records, tmp_path: Path, way: dict[str, str]) -> None:
    write_demo_data(tmp_path / "data", images={"train": 40})
    base, annotations = tmp_path / "data", {"all": "annotations/instances_train.json"}
    edit(base / annotations["all"], lambda d: [i.update(video=int(i["file_name"][4])) for i in d["images"]])
    divide = {"train": 1, "eval": 1}
    folder = run(CocoExampleGen(str(base), annotations, {"all": "train"}, 0.0, "", divide=divide, **way))
    videos = {split: {name[4] for name in records(folder, split)} for split in divide}
    assert not videos["train"] & videos["eval"]
    assert videos["train"] | videos["eval"] == set("01234")
    groups = {name[4]: f["image/group"].bytes_list.value[0].decode() for name, f in records(folder, "train").items()}
    assert all(video == group for video, group in groups.items())


def test_a_division_that_leaves_a_split_without_images_is_refused(run: Run, demo: Path) -> None:
    annotations, divide = {"all": SPLITS["train"]}, {"train": 1, "eval": 1}
    component = CocoExampleGen(str(demo), annotations, {"all": "train"}, 0.0, "", group_pattern="(0)", divide=divide)
    with pytest.raises(DataError, match=r"^split (train|eval): no image fell to its share; give more images or groups"):
        run(component)


def test_masks_and_captions_are_carried(run: Run, records, shared: Path, tmp_path: Path) -> None:
    """COCO's own polygons and run lengths; a mask fills the box it belongs to."""
    base, splits = shared / "data/coco_mini", {"train": "annotations/instances_val2017.json"}
    annotations = json.loads((base / splits["train"]).read_text())
    captions = tmp_path / "captions.json"
    spoken = [{"id": i, "image_id": e["id"], "caption": f"view {e['id']}"} for i, e in enumerate(annotations["images"])]
    captions.write_text(json.dumps({"images": annotations["images"], "annotations": spoken}))
    component = CocoExampleGen(
        str(base), splits, {"train": "val2017"}, 0.0, "", {"train": str(captions)}, masks=True, divide={"train": 1}
    )
    found = records(run(component), "train")
    assert len(found) == 80
    apart = []
    for features in found.values():
        assert features["image/caption"].bytes_list.value == [
            b"view " + features["image/source_id"].bytes_list.value[0]
        ]
        sides = [features[f"image/object/bbox/{side}"].float_list.value for side in ("ymin", "xmin", "ymax", "xmax")]
        size = [features[f"image/{side}"].int64_list.value[0] for side in ("height", "width")]
        for box, png in zip(zip(*sides, strict=True), features["image/object/mask"].bytes_list.value, strict=True):
            mask = np.asarray(Image.open(io.BytesIO(png)))
            assert mask.shape == tuple(size)
            rows, columns = np.nonzero(mask)
            drawn = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            apart.append(np.abs(np.asarray(box) * (size * 2) - drawn).max())
    # COCO's boxes are those of the polygons; pycocotools draws no pixel that a thin tip covers by less than half.
    assert np.quantile(apart, 0.95) < 2


def test_images_without_any_annotation_list_are_negatives(run: Run, records, demo: Path) -> None:
    """As COCO's image_info of test-dev."""
    edit(demo / SPLITS["eval"], lambda d: d.pop("annotations"))
    folder = run(coco(demo))
    assert {len(f["image/object/class/label"].int64_list.value) for f in records(folder, "eval").values()} == {0}
    assert ledger.load(folder)["eval"].images.kept == 3


def test_voc_reads_a_real_data_set(run: Run, records, shared: Path) -> None:
    """BCCD: 292 + 72 images; 4,888 boxes of which the two of zero size are dropped."""
    base, splits = shared / "data/bccd/BCCD", {"train": "trainval", "eval": "test"}
    folder = run(VocExampleGen(str(base), splits, None, 0.01, voc_fingerprint(base, splits)))
    found = records(folder, "eval")
    assert (len(records(folder, "train")), len(found)) == (292, 72)
    for name, features in found.items():
        assert features["image/encoded"].bytes_list.value == [(base / "JPEGImages" / name).read_bytes()]
        assert features["image/source_id"].bytes_list.value == [Path(name).stem.encode()]
    ledgers = ledger.load(folder)
    assert sum(account.boxes.read for account in ledgers.values()) == 4888
    assert ledgers["train"].boxes.dropped == {"zero-area box": 2}
    assert {finding.record for finding in ledgers["train"].findings} == {
        "image BloodImage_00338, object 13",
        "image BloodImage_00343, object 4",
    }
    assert LabelMap.load(folder).names == ["Platelets", "RBC", "WBC"]


def test_splits_and_image_folders_must_agree(demo: Path) -> None:
    with pytest.raises(ConfigError, match="differ; give each split both"):
        CocoExampleGen(str(demo), SPLITS, {"train": "train"}, 0.0, "")
