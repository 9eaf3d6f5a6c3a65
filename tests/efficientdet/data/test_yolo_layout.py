"""Where images and labels are looked for: every way a description can say it, and what it must not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from efficientdet.data.yolo_layout import MAX_BYTES, label_file, read_layout
from efficientdet.errors import DataError

NAMES = "names: [cat, dog]\n"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def images(root: Path, split: str = "train") -> list[str]:
    layout = read_layout(root)
    return [image for place in layout.places(split) for image in layout.images(place)]


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("train/images/a.jpg", "train/labels/a.txt"),
        ("images/images/a.b.png", "images/labels/a.b.txt"),
        ("obj/a.jpg", "obj/a.txt"),
        ("my-images/a.jpg", "my-images/a.txt"),
        ("../images/a.jpg", "../labels/a.txt"),
    ],
)
def test_the_label_lies_beside_the_last_folder_images(image: str, label: str) -> None:
    assert label_file(image) == label


@pytest.mark.parametrize(
    "description",
    [
        "train: images/train\n",
        "path: .\ntrain: images/train\n",
        "path: ../datasets/pets\ntrain: images/train\n",  # where it was made
        "path: /datasets/pets\ntrain: images/train\n",
        "path: images\ntrain: train\n",
        "train: ../images/train\n",  # as exports write it
        "train: [images/train]\n",
    ],
)
def test_a_folder_is_listed_in_order(tmp_path: Path, description: str) -> None:
    touch(tmp_path, "images/train/b.jpg", "images/train/a.PNG", "images/train/deep/c.jpeg", "images/train/notes.txt")
    (tmp_path / "data.yaml").write_text(NAMES + description)
    assert images(tmp_path) == ["images/train/a.PNG", "images/train/b.jpg", "images/train/deep/c.jpeg"]


def test_an_absolute_path_counts_where_it_lies_inside(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg")
    (tmp_path / "data.yaml").write_text(f"{NAMES}path: {tmp_path}\ntrain: {tmp_path}/images\n")
    assert images(tmp_path) == ["images/a.jpg"]


def test_a_list_names_images_from_its_folder_or_the_top(tmp_path: Path) -> None:
    touch(tmp_path, "lists/images/a.jpg", "images/b.jpg", "c.jpg")
    lines = ["./images/a.jpg", "", "images/b.jpg", f"{tmp_path}/c.jpg", "../c.jpg", "gone.jpg", "../../etc/passwd"]
    (tmp_path / "lists/train.txt").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    (tmp_path / "data.yaml").write_text(f"{NAMES}train: lists/train.txt\n")
    found = ["lists/images/a.jpg", "images/b.jpg", "c.jpg", "c.jpg", "gone.jpg", "../../etc/passwd"]
    assert images(tmp_path) == found


def test_several_sources_make_one_split(tmp_path: Path) -> None:
    touch(tmp_path, "one/images/a.jpg", "two/images/b.jpg")
    (tmp_path / "val.txt").write_text("one/images/a.jpg\n")
    (tmp_path / "dataset.yaml").write_text(f"{NAMES}valid: [two/images, val.txt]\n")
    assert images(tmp_path, "val") == images(tmp_path, "validation") == ["two/images/b.jpg", "one/images/a.jpg"]


@pytest.mark.parametrize("listed", ["data/train.txt", "/home/me/darknet/data/train.txt", None])
def test_darknet_names_lists_from_the_folder_it_is_run_in(tmp_path: Path, listed: str | None) -> None:
    touch(tmp_path, "obj/a.jpg", "obj/b.jpg")
    (tmp_path / "obj.names").write_text("cat\ndog\n\n")
    (tmp_path / "train.txt").write_text("data/obj/a.jpg\nobj/b.jpg\n")
    if listed:
        (tmp_path / "obj.data").write_text(f"classes= 2\ntrain = {listed}\nnames = data/obj.names\nbackup = backup/\n")
    layout = read_layout(tmp_path)
    assert layout.names == {0: "cat", 1: "dog"}
    assert images(tmp_path) == ["obj/a.jpg", "obj/b.jpg"]
    assert label_file("obj/a.jpg") == "obj/a.txt"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [cat, dog]", {0: "cat", 1: "dog"}),
        ("names: {1: dog, 0: cat}\nnc: 2", {0: "cat", 1: "dog"}),
        ("names: {3: dog, 7: cat}", {3: "dog", 7: "cat"}),
        ("names: [0, 1]", {0: "0", 1: "1"}),
        ("nc: 2", {0: "class 0", 1: "class 1"}),
    ],
)
def test_names_are_a_list_or_a_mapping(tmp_path: Path, text: str, names: dict[int, str]) -> None:
    (tmp_path / "data.yaml").write_text(f"{text}\n")
    assert read_layout(tmp_path).names == names


def test_keypoints_are_counted(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(f"{NAMES}kpt_shape: [17, 3]\n")
    assert read_layout(tmp_path).keypoints == 51


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no mapping of keys; give a data.yaml with `names`"),
        ("[1, 2]", "holds no mapping of keys"),
        ("names: [a", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("a: &a [x]\nnames: *a", r"an alias \(\*name\) is not allowed"),
        ("a: !!python/object/apply:os.system [ls]\nnames: [x]", "is not YAML"),
        ("train: images", "names no classes"),
        ("names: []", "names no classes"),
        ("nc: -1", "names no classes"),
        ("names: {a: cat}", "has a key that is no class index"),
        ("names: {-1: cat}", "has a key that is no class index"),
        ("names: [yes, no]", "the name of class 0 is not text; put it in quotes"),
        ("names: ['']", "the name of class 0 is not text"),
        ("names: [a, b]\nnc: 1", "`nc` does not fit `names`, which go up to class 1"),
        ("names: [a]\npath: [b]", "`path` is not text"),
        ("names: [a]\ntrain: {a: b}", "`train` must be a path or a list of paths"),
        ("names: [a]\nkpt_shape: 17", "`kpt_shape` must be two whole numbers"),
    ],
)
def test_a_description_that_cannot_be_used_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=rf"data\.yaml: .*{says}") as caught:
        read_layout(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_description_or_one_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds neither data\.yaml nor obj\.names; give a data\.yaml"):
        read_layout(tmp_path)
    (tmp_path / "data.yaml").write_bytes(b"names: [\xff]")
    with pytest.raises(DataError, match=r"data.yaml: cannot be read"):
        read_layout(tmp_path)
    (tmp_path / "data.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(DataError, match=r"data.yaml: is larger than 1048576 bytes"):
        read_layout(tmp_path)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "data.yaml").symlink_to("/etc/hostname")
    with pytest.raises(DataError, match=r"data.yaml: cannot be read \(.*leads out of the data folder"):
        read_layout(tmp_path)


@pytest.mark.parametrize("source", ["/etc", "../..", "images/gone", "out"])
def test_a_source_outside_or_missing_is_refused(tmp_path: Path, source: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    (root / "data.yaml").write_text(f"{NAMES}train: {source}\n")
    with pytest.raises(DataError, match=rf"data.yaml: '{source}' is not in the data folder .*; correct the path"):
        images(root)
    with pytest.raises(DataError, match="names no split 'test', but train; add it or choose another"):
        images(root, "test")
