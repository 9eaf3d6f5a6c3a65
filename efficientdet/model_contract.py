"""What consumers rely on in each file that ships: names, types and shapes of its tensors, and what travels with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.architectures import feature_sizes
from efficientdet.bundle import ASSETS_FOLDER
from efficientdet.config import Config
from efficientdet.errors import EfficientDetError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.raw_names import ANCHORS_FILE, by_name
from efficientdet.tflite_detector import SIGNATURE, read_anchors, read_packed
from efficientdet.tflite_metadata_reader import read_metadata
from efficientdet.tflite_metadata_tables import LABELS_FILE, ROLES


class Tensor(NamedTuple):
    """Type and shape of an input or output; None for a side of any length, or as shape where it is not known."""

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        sides = "?" if self.shape is None else ", ".join("any" if side is None else str(side) for side in self.shape)
        return f"{self.dtype} [{sides}]"


Tensors = Mapping[str, Tensor]


def tflite_faults(path: Path, config: Config, label_map: LabelMap) -> list[str]:
    """What is wrong with a TFLite file of a detector with this config and these classes, as ends of sentences.

    Checked are the signature, the metadata that MediaPipe and the Task API read, and the packed config and classes. A
    file that packs anchors is one without post-processing: it answers raw outputs, in the order of those anchors.
    """
    return [*_said(lambda: _tflite_signature(path, config)), *_said(lambda: _tflite_metadata(path, config, label_map))]


def saved_model_faults(path: Path, signatures: Mapping[str, Any], config: Config, label_map: LabelMap) -> list[str]:
    """The same of a SavedModel whose loaded `signatures` are given."""
    if not config.export.finds_objects:
        return ["was exported without what comes before or after the network (export.pre_mode, post_mode)"]
    slots = config.nms.max_detections
    outputs = {
        "detection_boxes": Tensor("float32", (None, slots, 4)),
        "detection_scores": Tensor("float32", (None, slots)),
        "detection_classes": Tensor("int32", (None, slots)),
        "num_detections": Tensor("int32", (None,)),
    }
    inputs = {
        SIGNATURE: {"image_bytes": Tensor("string", (None,))},
        "images": {"images": Tensor("uint8", (None, None, None, 3))},
        "examples": {"examples": Tensor("string", (None,))},
    }
    faults = []
    for name, wanted in inputs.items():
        if name not in signatures:
            faults.append(f"has no signature {name}")
            continue
        found = signatures[name]
        faults += _differences(name, "input", _specs(found.structured_input_signature[1]), wanted)
        faults += _differences(name, "output", _specs(found.structured_outputs), outputs)
    return [*faults, *_said(lambda: _travelling(*_assets(path), config, label_map))]


def _said(check: Callable[[], Iterator[str]]) -> list[str]:
    """What a check finds, or the one sentence that ended it."""
    try:
        return list(check())
    except EfficientDetError as error:
        return [str(error)]


def _tflite_signature(path: Path, config: Config) -> Iterator[str]:
    from ai_edge_litert.interpreter import Interpreter

    try:
        runner = Interpreter(model_path=str(path)).get_signature_runner(SIGNATURE)
        images, found = runner.get_input_details(), runner.get_output_details()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"cannot be loaded by LiteRT ({' '.join(str(error).split())[:200]})") from error
    pixels = images.get("images", {}).get("dtype")
    # Pixels come as they are: in uint8, or the same numbers in float32.
    wanted = "float32" if pixels is np.float32 else "uint8"
    shape = (1, *config.model.input_size, 3)
    yield from _differences(SIGNATURE, "input", _details(images), {"images": Tensor(wanted, shape)})
    anchors = read_anchors(path)
    if anchors is None:
        yield from _differences(SIGNATURE, "output", _details(found), _detections(config))
    else:
        numbers = "int8" if wanted == "uint8" else "float32"
        raw = _raw_outputs(config, len(read_packed(path)[1]), numbers)
        yield from _differences(SIGNATURE, "output", _details(found), raw)
        yield from _raw_faults(anchors, found, config)
    scale, zero = images.get("images", {}).get("quantization", (0.0, 0))
    if (scale, zero) not in ((1.0, 0), (0.0, 0)):  # without quantisation the scale is 0
        yield f"input images has scale {scale:g} and zero point {zero}, but pixels are written as they are"


def _detections(config: Config) -> Tensors:
    slots = config.nms.max_detections
    return {
        "detection_boxes": Tensor("float32", (1, slots, 4)),
        "detection_scores": Tensor("float32", (1, slots)),
        "detection_classes": Tensor("float32", (1, slots)),
        "num_detections": Tensor("float32", (1,)),
    }


def _raw_outputs(config: Config, num_classes: int, numbers: str) -> Tensors:
    """Of every level its class logits and box deltas, in float32 or int8."""

    def levels(values: int) -> list[Tensor]:
        return [Tensor(numbers, (1, *size, per_cell * values)) for size in _sizes(config)]

    per_cell = _per_cell(config)
    return by_name(levels(num_classes), levels(4))


def _raw_faults(anchors: NDArray[np.float32], outputs: Mapping[str, Any], config: Config) -> Iterator[str]:
    count = _per_cell(config) * sum(height * width for height, width in _sizes(config))
    if anchors.shape != (count, 4):
        yield f"its {ANCHORS_FILE} holds {list(anchors.shape)}, but the network answers for {count} anchors"
    for name, detail in outputs.items():
        if detail["dtype"] is np.int8 and not detail["quantization"][0] > 0:
            yield f"output {name} has no scale, without which nobody knows what its int8 stands for"


def _sizes(config: Config) -> list[tuple[int, int]]:
    """(height, width) of every level."""
    architecture = config.model.architecture
    return feature_sizes(config.model.input_size, architecture.min_level, architecture.max_level)


def _per_cell(config: Config) -> int:
    """Anchors of one cell."""
    return config.model.num_scales * len(config.model.aspect_ratios)


def _tflite_metadata(path: Path, config: Config, label_map: LabelMap) -> Iterator[str]:
    packed = read_packed(path)
    yield from _travelling(*packed, config, label_map)
    metadata = read_metadata(path)
    raw = read_anchors(path) is not None
    roles = tuple(_raw_outputs(config, 1, "") if raw else (role for role, _ in ROLES.values()))
    if metadata.outputs != roles:
        yield f"its metadata names the outputs {', '.join(metadata.outputs)}, not {', '.join(roles)}"
    if metadata.labels_file != LABELS_FILE and not raw:
        yield f"its metadata names no {LABELS_FILE}, so that clients show no class names"
    names = tuple(" ".join(name.split()) for name in label_map.names)
    if metadata.labels != names:
        yield f"its {LABELS_FILE} holds {_shown(metadata.labels)}, but the label map {_shown(names)}"
    if (set(metadata.mean), set(metadata.std)) != ({0.0}, {1.0}):
        yield (
            f"its metadata asks clients to normalise by mean {list(metadata.mean)} and std {list(metadata.std)}, but"
            " the network normalises by itself: mean 0, std 1"
        )


def _assets(path: Path) -> tuple[Config, LabelMap]:
    folder = path / ASSETS_FOLDER
    return Config.load(folder / config_file.FILE_NAME), LabelMap.load(folder)


def _travelling(found: Config, labels: LabelMap, config: Config, label_map: LabelMap) -> Iterator[str]:
    """How a file's own config and label map differ from the bundle's; suppression may be a file's own."""
    if found.model != config.model:
        yield f"its {config_file.FILE_NAME} describes another network than the bundle's"
    if labels.hash != label_map.hash:
        yield (
            f"its {label_map_file.FILE_NAME} holds {_shown(labels.names)} ({labels.hash}), but the bundle's"
            f" {_shown(label_map.names)} ({label_map.hash})"
        )


def _differences(signature: str, what: str, found: Tensors, wanted: Tensors) -> Iterator[str]:
    for name, tensor in wanted.items():
        if name not in found:
            yield f"signature {signature} has no {what} {name}, but {', '.join(sorted(found)) or 'none'}"
        elif found[name] != tensor:
            yield f"signature {signature}: {what} {name} is {found[name]}, not {tensor}"
    for name in sorted(set(found) - set(wanted)):
        yield f"signature {signature} has an {what} {name}, which no consumer knows"


def _details(details: Mapping[str, Any]) -> Tensors:
    return {
        name: Tensor(np.dtype(detail["dtype"]).name, tuple(int(side) for side in detail["shape"]))
        for name, detail in details.items()
    }


def _specs(specs: Mapping[str, Any]) -> Tensors:
    return {
        name: Tensor(spec.dtype.name, None if spec.shape.rank is None else tuple(spec.shape.as_list()))
        for name, spec in specs.items()
    }


def _shown(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:5]) or "no class"
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
