"""The executors of the annotation formats: how each finds its files, its classes and its reader."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tfx.types.standard_component_specs import INPUT_BASE_KEY

from components.example_gen.executor import DetectionExecutor, settings_of
from components.example_gen.source import Source, find, resolve_span
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.voc import IMAGE_FOLDER, read_voc, voc_label_map, voc_root
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap


class CocoExecutor(DetectionExecutor):
    """Executor of CocoExampleGen."""

    def source(self, split: str, pattern: str, exec_properties: Mapping[str, Any]) -> Source:
        files, settings = find(exec_properties, pattern), settings_of(exec_properties)
        given = settings["patterns"][split]
        folder = resolve_span(settings["image_folders"][split], given, pattern)
        captions = settings["captions"].get(split)
        read = partial(
            read_coco,
            files,
            captions=find(exec_properties, resolve_span(captions, given, pattern)) if captions else (),
            masks=settings["masks"],
            group_by=settings["group_by"],
        )
        return Source(files, exec_properties[INPUT_BASE_KEY], folder, read)

    def label_map(self, sources: Mapping[str, Source], settings: Mapping[str, Any]) -> LabelMap:
        return coco_label_map(sorted({file for source in sources.values() for file in source.files}))

    def classes(self, label_map: LabelMap) -> dict[object, int]:
        return {label.category_id: label.id for label in label_map}


class VocExecutor(DetectionExecutor):
    """Executor of VocExampleGen."""

    def source(self, split: str, pattern: str, exec_properties: Mapping[str, Any]) -> Source:
        file, *others = find(exec_properties, pattern)
        if others:
            raise DataError(f"split {split}: {pattern} matches {file} and {others[0]}; name one image set")
        return Source([file], str(voc_root(file)), IMAGE_FOLDER, partial(read_voc, file))

    def label_map(self, sources: Mapping[str, Source], settings: Mapping[str, Any]) -> LabelMap:
        image_sets = [file for source in sources.values() for file in source.files]
        return voc_label_map(image_sets, settings["classes"])
