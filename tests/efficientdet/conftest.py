"""A tiny real data set of handwritten digits, as shards of examples."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def digit_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with label_map.json and gzip shards: Split-train (12 images of 96x96), Split-eval (4)."""
    import tensorflow as tf

    from efficientdet.data.admission import admit
    from efficientdet.data.coco import coco_label_map, read_coco
    from efficientdet.data.demo import write_demo_data
    from efficientdet.data.example import to_example

    root = tmp_path_factory.mktemp("digits")
    write_demo_data(root / "coco", images={"train": 12, "eval": 4}, size=(96, 96))
    for split in ("train", "eval"):
        annotations = root / "coco" / f"annotations/instances_{split}.json"
        label_map = coco_label_map([annotations])
        classes = {label.category_id: label.id for label in label_map}
        records = []
        for entry in read_coco([annotations]):
            image, _ = admit(entry, root / "coco", split, classes)
            records.append(to_example(image, label_map).SerializeToString())
        (root / f"Split-{split}").mkdir()
        for shard in range(2):
            path = str(root / f"Split-{split}" / f"data-{shard}-of-2.gz")
            with tf.io.TFRecordWriter(path, "GZIP") as writer:
                for record in records[shard::2]:
                    writer.write(record)
    (root / "label_map.json").write_text(label_map.to_json())
    return root
