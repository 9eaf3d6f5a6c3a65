"""Model Maker's DataLoader: annotated images of any format as a folder of examples."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from efficientdet.class_names import named_classes
from efficientdet.data import csv
from efficientdet.data import ledger as ledger_file
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.example_folder import (
    SHARDS,
    Source,
    example_count,
    is_current,
    new_example_folder,
    write_examples,
)
from efficientdet.data.input_pipeline import count_records, read_records
from efficientdet.data.ledger import Ledger
from efficientdet.data.remote_file import local_file, with_local_images
from efficientdet.data.voc import read_annotations
from efficientdet.errors import DataError, ModelError
from efficientdet.label_map import FILE_NAME as LABEL_MAP_FILE
from efficientdet.label_map import LabelMap
from efficientdet.scratch import scratch_path

MAX_BAD_FRACTION = 0.01

logger = logging.getLogger(__name__)


class DataLoader:
    """Examples on disk, as TFLite Model Maker's `object_detector.DataLoader` gives them.

    `from_pascal_voc`, `from_csv` and `from_coco` read a data set once and write its examples into a folder of their
    own. What cannot be used is dropped, counted and logged; above `max_bad_fraction` of the images or boxes it is a
    DataError. Further arguments that they share:

      num_shards: files that the examples are dealt out to, at most one for each image.
      max_num_images: only the first so many images are read.
      cache_dir: where the folder shall stand; None: a temporary one, removed when the process ends. One that is
        there already is used as long as annotations, images and arguments are the same, and made anew otherwise.
      cache_prefix_filename: name of the folder; None: a hash of the same. `from_cache` takes CACHE_DIR/NAME.

    Model Maker's `gen_dataset` is not here: `efficientdet.data.input_pipeline` makes the batches.

    Attributes:
      folder: of shards, `label_map.json` and `ledger.json`.
      labels: the classes.
      size: how many images there are.
    """

    def __init__(self, folder: str | Path, labels: LabelMap, size: int) -> None:
        self.folder, self.labels, self.size = Path(folder), labels, size

    @classmethod
    def from_pascal_voc(
        cls,
        images_dir: str | Path,
        annotations_dir: str | Path,
        label_map: Sequence[str] | Mapping[int, str] | str,
        annotation_filenames: Collection[str] | None = None,
        ignore_difficult_instances: bool = False,
        num_shards: int = 100,
        max_num_images: int | None = None,
        cache_dir: str | Path | None = None,
        cache_prefix_filename: str | None = None,
        max_bad_fraction: float = MAX_BAD_FRACTION,
    ) -> DataLoader:
        """Images with one Pascal VOC XML each.

        Args:
          images_dir: folder that each XML's `filename` is relative to; no image may lie outside of it.
          annotations_dir: folder of the XMLs.
          label_map: names in the order of their ids; id to name; `coco`, `voc` or `waymo`; or a YAML file.
          annotation_filenames: names of the XMLs to read, with or without `.xml`; all of the folder if None.
          ignore_difficult_instances: leave out objects marked as difficult.
        """
        given = annotation_filenames
        if given is None:
            given = sorted(path.name for path in Path(annotations_dir).glob("*.xml"))
        if not given:
            raise DataError(f"{annotations_dir}: holds no XML at all; give the folder of Pascal VOC annotations")
        stems = [name.removesuffix(".xml") for name in given]
        entries = list(read_annotations(annotations_dir, "", stems, "annotation_filenames"))
        source = Source(entries, images_dir, "", _label_map(label_map), by_name=True).first(max_num_images)
        if ignore_difficult_instances:
            source = source.without_difficult()
        return cls._cached(source, num_shards, cache_dir, cache_prefix_filename, max_bad_fraction)

    @classmethod
    def from_csv(
        cls,
        filename: str | Path,
        images_dir: str | Path | None = None,
        delimiter: str = ",",
        quotechar: str = '"',
        num_shards: int = 10,
        max_num_images: int | None = None,
        cache_dir: str | Path | None = None,
        cache_prefix_filename: str | None = None,
        max_bad_fraction: float = MAX_BAD_FRACTION,
    ) -> list[DataLoader | None]:
        """The training, validation and test images of a CSV in AutoML's layout; None for a set without any.

        Images of no set (UNASSIGNED) go 8:1:1 by their content. Rows that name none of the sets are booked with the
        first set there is. `max_num_images` is for each set; folders are called NAME_train and so on.

        Args:
          filename: the CSV, a path or an address such as gs://; `efficientdet.data.csv` describes its rows. Labels
            are numbered as they appear.
          images_dir: folder of the images, which none may lie outside of; None: images are given by absolute
            path, by address, or relative to the folder of the CSV.
        """
        copies = Path(cache_dir) / "fetched" if cache_dir else scratch_path()
        path = local_file(filename, copies, anew=True)
        labels = csv.csv_label_map(path, delimiter, quotechar)
        root, folder = (images_dir, "") if images_dir else (Path("/"), str(path.absolute().parent))
        entries = csv.read_csv(path, delimiter, quotechar)
        sets = csv.by_set(entries if images_dir else with_local_images(entries, copies.absolute()), root, folder)
        loaders: list[DataLoader | None] = []
        for name in csv.SETS:
            prefix = cache_prefix_filename and f"{cache_prefix_filename}_{name.lower()}"
            source = Source(sets.get(name, ()), root, folder, labels, by_name=True).first(max_num_images)
            there = bool(source.entries)
            loaders.append(cls._cached(source, num_shards, cache_dir, prefix, max_bad_fraction) if there else None)
        return loaders

    @classmethod
    def from_coco(
        cls,
        images_dir: str | Path,
        annotations_file: str | Path,
        num_shards: int = 100,
        max_num_images: int | None = None,
        cache_dir: str | Path | None = None,
        cache_prefix_filename: str | None = None,
        max_bad_fraction: float = MAX_BAD_FRACTION,
    ) -> DataLoader:
        """The images of a COCO instances file.

        Args:
          images_dir: folder that each `file_name` is relative to; no image may lie outside of it.
          annotations_file: the JSON, as instances_train2017.json.
        """
        labels, entries = coco_label_map([annotations_file]), list(read_coco([annotations_file]))
        source = Source(entries, images_dir, "", labels, by_name=False).first(max_num_images)
        return cls._cached(source, num_shards, cache_dir, cache_prefix_filename, max_bad_fraction)

    @classmethod
    def from_cache(cls, cache_prefix: str | Path) -> DataLoader:
        """The examples in a folder that another loader, or the pipeline's example generation, wrote.

        Raises DataError when there are none, or no `label_map.json` beside or above them.
        """
        folder = Path(cache_prefix)
        if not any(folder.glob(SHARDS)):
            raise DataError(f"{folder}: holds no examples ({SHARDS}); give CACHE_DIR/CACHE_PREFIX_FILENAME")
        beside = (folder / LABEL_MAP_FILE).is_file()
        labels = LabelMap.load(folder if beside else folder.absolute().parent)
        loader = cls(folder, labels, example_count(folder) or 0)
        loader.size = loader.size or count_records(loader.pattern)
        return loader

    @property
    def label_map(self) -> dict[int, str]:
        """Class names by the ids of the annotations, or from 1 on where they have none."""
        return {label.category_id: label.name for label in self.labels}

    @property
    def shards(self) -> list[str]:
        """The files of examples, sorted."""
        return sorted(str(path) for path in self.folder.glob(SHARDS))

    @property
    def pattern(self) -> str | list[str]:
        """The shards as the library's verbs take them: a glob, or their names where the folder's would be one."""
        return self.shards if set("*?[]\\") & set(str(self.folder)) else str(self.folder / SHARDS)

    @property
    def ledger(self) -> Ledger | None:
        """What became of every annotation; None for a part of other examples."""
        there = (self.folder / ledger_file.FILE_NAME).is_file()
        return sum(ledger_file.load(self.folder).values(), Ledger()) if there else None

    def __len__(self) -> int:
        return self.size

    def check_labels(self, labels: LabelMap, where: str) -> None:
        """Raises ModelError when the model at `where`, of these classes, knows others than the examples."""
        if labels.hash != self.labels.hash:
            theirs, ours = (", ".join(names.names[:5]) for names in (labels, self.labels))
            raise ModelError(
                f"{where}: is for {len(labels)} classes ({theirs}), but {self.folder} has {len(self.labels)} ({ours}) "
                "or numbers them otherwise; load the data with the label map of the model"
            )

    def split(self, fraction: float) -> tuple[DataLoader, DataLoader]:
        """Two loaders with `fraction` and the rest of the images, in temporary folders.

        Which image goes where depends on its content alone; copies of one stay together, so that the parts may
        differ from the fraction by them. Raises DataError when one part would be empty.
        """
        if not 0 < fraction < 1:
            raise DataError(f"{self.folder}: cannot be split at {fraction:g}; give a number between 0 and 1")
        digests = sorted(_digest(record) for record in self._records())
        border = round(fraction * len(digests))
        bound = digests[border] if 0 < border < len(digests) else ""
        if not bound or bound == digests[0]:
            raise DataError(f"{self.folder}: {self.size} images cannot be split at {fraction:g}; one part is empty")
        folders, count = (scratch_path(), scratch_path()), len(self.shards)
        with (
            new_example_folder(folders[0], self.labels, count) as first,
            new_example_folder(folders[1], self.labels, count) as rest,
        ):
            for record in self._records():
                (first if _digest(record) < bound else rest).write(record)
        return self.from_cache(folders[0]), self.from_cache(folders[1])

    @classmethod
    def _cached(
        cls, source: Source, shards: int, cache_dir: str | Path | None, name: str | None, max_bad_fraction: float
    ) -> DataLoader:
        if cache_dir is None:
            folder = scratch_path()
            write_examples(source, folder, shards, max_bad_fraction)
            return cls.from_cache(folder)
        key = source.key(shards, max_bad_fraction)
        folder = Path(cache_dir) / (name or key[:16])
        if is_current(folder, key):
            logger.info("%s: annotations and images are as they were; the examples there are used", folder)
        else:
            write_examples(source, folder, shards, max_bad_fraction, key)
        return cls.from_cache(folder)

    def _records(self) -> Iterable[bytes]:
        return read_records(self.shards).as_numpy_iterator()


def _label_map(classes: Sequence[str] | Mapping[int, str] | str) -> LabelMap:
    """The label map that Model Maker's users give; 0 may stand for the background, and is left out."""
    if isinstance(classes, Mapping):
        classes = {number: name for number, name in classes.items() if (number, name) != (0, "background")}
    if isinstance(classes, (str, Mapping)):
        by_id = enumerate(named_classes(classes), start=1)
        return LabelMap.from_categories({"id": number, "name": name} for number, name in by_id if name)
    return LabelMap.from_names(classes)


def _digest(record: bytes) -> str:
    """sha256 of the image in a serialised example."""
    features = tf.train.Example.FromString(record).features.feature
    return hashlib.sha256(features["image/encoded"].bytes_list.value[0]).hexdigest()
