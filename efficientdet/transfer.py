"""Starting a detector from someone's checkpoint: all of it that fits, and the classes that bear the same name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from efficientdet.architectures import ARCHITECTURES
from efficientdet.checkpoint import WEIGHTS_FILE, load_detector
from efficientdet.errors import ModelError
from efficientdet.model.detector import reference_name, reference_path
from efficientdet.model.variable_names import attribute_paths
from efficientdet.model.weights_file import read_weights

CLASS_LAYER, BOX_LAYER = "class_net/class-predict", "box_net/box-predict"

LAST_LAYERS = {CLASS_LAYER: "bias", BOX_LAYER: "bias", "segmentation_head": "bn_0/gamma"}  # and a variable of each
BY_CLASS = ("pointwise_kernel", "kernel", "bias")  # what depends on classes and anchors in the first two

Array = NDArray[Any]
Shape = tuple[int, ...]
Weights = Mapping[str, Array]
Variables = Mapping[str, keras.Variable]


@dataclass(frozen=True)
class Transfer:
    """What a checkpoint gave to a detector.

    path: of the checkpoint, as the user gave it.
    loaded: names of the variables set.
    skipped: name to reason of the variables that kept their fresh values.
    unused: names in the checkpoint that were neither loaded nor skipped.
    classes: the detector's classes whose columns of the last layer were found by name; the others are fresh.
    """

    path: str
    loaded: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for the log."""
        parts = [f"{len(self.loaded)} variables loaded"]
        if self.classes:
            names = ", ".join([*self.classes[:5], *(["..."] if len(self.classes) > 5 else [])])
            parts.append(f"{len(self.classes)} classes carried over by name ({names})")
        if self.skipped:
            parts.append(f"{len(self.skipped)} left fresh ({'; '.join(dict.fromkeys(self.skipped.values()))})")
        if self.unused:
            parts.append(f"{len(self.unused)} of the checkpoint not used")
        return f"{self.path}: {', '.join(parts)}"


class _Plan(NamedTuple):
    """For the last layers: variables left fresh with their reason, and class columns found by name, ours to theirs."""

    skipped: dict[str, str]
    columns: Mapping[int, int] = {}


def load_checkpoint(
    model: keras.Model,
    path: str | Path,
    class_names: Sequence[str],
    checkpoint_classes: Sequence[str | None] | None = None,
) -> Transfer:
    """Sets a detector's variables from a checkpoint of the same architecture, moving statistics included.

    The last layer of a head keeps its fresh values when the checkpoint lacks it or has other anchors. When the
    classes of both sides are known, each class is carried over by its name, whatever its place, and one without
    a namesake stays fresh. When they are not, the layer is loaded if the class counts agree.

    Args:
      model: from `build_detector`.
      path: whatever `read_weights` takes, or the folder of a trained detector of ours.
      class_names: the model's classes in the order of its logits.
      checkpoint_classes: those of the checkpoint, as from `named_classes`; None when they are not known. A
        detector of ours brings its own.

    Raises:
      ModelError: the checkpoint cannot be read, another variable is missing or of another shape, a value is not
        finite, or `checkpoint_classes` are not as many as the checkpoint has. In that case nothing has changed.
    """
    weights, stored_classes = _read(path)
    variables = {reference_name(v): v for v in model.weights}
    weights = _under_names(weights, variables)
    plan = _compare_heads(weights, variables, class_names, checkpoint_classes or stored_classes, path)
    shapes = {name: tuple(v.shape) for name, v in variables.items() if name not in plan.skipped}
    carried = [f"{CLASS_LAYER}/{leaf}" for leaf in BY_CLASS if f"{CLASS_LAYER}/{leaf}" in variables and plan.columns]
    shapes |= {name: (*shapes[name][:-1], _outputs(weights, CLASS_LAYER)) for name in carried}
    values = _fitting(weights, shapes, path, model.name)
    anchors = _outputs(variables, CLASS_LAYER) // len(class_names)
    values |= {name: _mixed(values[name], variables[name].numpy(), anchors, plan.columns) for name in carried}
    _assign(values, variables)
    unused = tuple(name for name in weights if name not in values and name not in plan.skipped)
    classes = tuple(class_names[column] for column in plan.columns)
    return Transfer(str(path), tuple(values), plan.skipped, unused, classes)


def load_backbone(model: keras.Model, path: str | Path) -> Transfer:
    """Sets the backbone's variables of a detector from a checkpoint of a detector, or of the backbone alone.

    Raises:
      ModelError: the checkpoint cannot be read, lacks a variable of the backbone, has it in another shape, or a
        value is not finite. In that case nothing has changed.
    """
    weights, _ = _read(path)
    variables = {reference_name(v): v for v in model.weights}
    weights = _under_names(weights, variables)
    shapes = {name: tuple(v.shape) for name, v in variables.items() if name.startswith("efficientnet-")}
    values = _fitting(weights, shapes, path, model.name)
    _assign(values, variables)
    return Transfer(str(path), tuple(values), unused=tuple(name for name in weights if name not in values))


def _read(path: str | Path) -> tuple[Weights, Sequence[str] | None]:
    """The variables by name, and the class names if the checkpoint tells them."""
    folder = Path(path).parent if Path(path).name == WEIGHTS_FILE else Path(path)
    if not (folder / WEIGHTS_FILE).is_file():
        return read_weights(path), None
    detector, _, label_map = load_detector(folder)
    return {reference_name(v): v.numpy() for v in detector.weights}, label_map.names


def _under_names(weights: Weights, names: Collection[str]) -> Weights:
    """Variables known by their attribute path only, or as our SavedModels have them, under the detector's names."""
    by_path = {path: name for name, path in attribute_paths(names).items() if name not in weights}
    return {by_path.get(name, reference_path(name)): value for name, value in weights.items()}


def _compare_heads(
    weights: Weights, variables: Variables, ours: Sequence[str], theirs: Sequence[str | None] | None, path: str | Path
) -> _Plan:
    """What of the last layers can be loaded, given the class names of both sides."""
    for layer in (CLASS_LAYER, BOX_LAYER):
        _check_layer(weights, layer, path)
    skipped = _absent(weights, variables)
    anchors = anchors_there = _outputs(variables, BOX_LAYER) // 4
    if f"{BOX_LAYER}/bias" in weights:
        anchors_there = _outputs(weights, BOX_LAYER) // 4
    if anchors_there != anchors:
        reason = f"anchors per cell: {anchors_there} there, {anchors} here"
        return _Plan(_fresh(variables, CLASS_LAYER, reason) | _fresh(variables, BOX_LAYER, reason) | skipped)
    if f"{CLASS_LAYER}/bias" in skipped:
        return _Plan(skipped)
    count = _outputs(weights, CLASS_LAYER) // anchors
    columns = _columns(ours, theirs, count, path) if theirs else {}
    if columns or (not theirs and count == len(ours)):
        return _Plan(skipped, columns)
    reason = "class names: none in common" if theirs else f"class count: {count} there, {len(ours)} here"
    return _Plan(skipped | _fresh(variables, CLASS_LAYER, reason))


def _check_layer(weights: Weights, layer: str, path: str | Path) -> None:
    """Raises ModelError when the kernel and the bias of a last layer contradict each other."""
    bias = weights.get(f"{layer}/bias")
    kernel = next((weights[n] for leaf in BY_CLASS[:2] if (n := f"{layer}/{leaf}") in weights), None)
    if bias is None or kernel is None:
        return
    if bias.ndim != 1 or not bias.size or kernel.ndim != 4 or kernel.shape[-1] != len(bias):
        raise ModelError(
            f"{path}: {layer} is damaged: its bias is {bias.shape} beside a kernel of {kernel.shape}; copy it again"
        )
    if layer == BOX_LAYER and len(bias) % 4:
        raise ModelError(f"{path}: {layer}/bias has {len(bias)} values, not four per anchor; copy it again")


def _absent(weights: Weights, variables: Variables) -> dict[str, str]:
    """The variables of last layers that the checkpoint lacks as a whole, each with the reason to leave it."""
    lacking = [layer for layer, variable in LAST_LAYERS.items() if f"{layer}/{variable}" not in weights]
    return {
        name: f"the checkpoint has no {layer}"
        for layer in lacking
        for name in variables
        if name.startswith(f"{layer}/")
    }


def _fresh(variables: Variables, layer: str, reason: str) -> dict[str, str]:
    """The variables of a last layer that depend on classes and anchors, each with the reason to leave it."""
    return {name: reason for leaf in BY_CLASS if (name := f"{layer}/{leaf}") in variables}


def _outputs(named: Weights | Variables, layer: str) -> int:
    return int(named[f"{layer}/bias"].shape[-1])


def _columns(ours: Sequence[str], theirs: Sequence[str | None], count: int, path: str | Path) -> dict[int, int]:
    """Our class index to theirs, for the classes on both sides."""
    # One logit more than names is usual: many counted the background as a class, whose logit is never used.
    if count - len(theirs) not in (0, 1):
        raise ModelError(
            f"{path}: predicts {count} classes, but {len(theirs)} class names are given for it; "
            "name the classes it was trained with, or none"
        )
    index = {_normal(name): i for i, name in enumerate(theirs) if name is not None}
    return {i: index[_normal(name)] for i, name in enumerate(ours) if _normal(name) in index}


def _normal(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def _mixed(theirs: Array, fresh: Array, anchors: int, columns: Mapping[int, int]) -> Array:
    """`[..., a * k]` of a class layer: the columns of the classes found, in every anchor, over fresh ones."""
    mixed = fresh.reshape(*fresh.shape[:-1], anchors, -1).copy()
    source = theirs.reshape(*theirs.shape[:-1], anchors, -1)
    mixed[..., list(columns)] = source[..., list(columns.values())]
    return mixed.reshape(fresh.shape)


def _fitting(weights: Weights, shapes: Mapping[str, Shape], path: str | Path, model: str) -> dict[str, Array]:
    """The values of the variables, float32, if every one is there in its shape and finite."""
    missing = [name for name in shapes if name not in weights]
    other = [name for name in shapes if name in weights and weights[name].shape != shapes[name]]
    if missing or other:
        first = next(name for name in shapes if name in {*missing, *other})
        there = f"{weights[first].shape} there, {shapes[first]} here" if first in weights else "not there"
        raise ModelError(
            f"{path}: does not fit {model}: {first} is {there} ({len(missing)} of {len(shapes)} variables missing, "
            f"{len(other)} of another shape); {_hint(weights, model)}set model.name and its settings as it was trained"
        )
    if odd := [name for name in shapes if weights[name].dtype.kind not in "fiu" and weights[name].dtype != "bfloat16"]:
        raise ModelError(f"{path}: {odd[0]} holds {weights[odd[0]].dtype}, not numbers of a network; copy it again")
    values = {name: np.asarray(weights[name], np.float32) for name in shapes}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ModelError(f"{path}: {name} holds NaN or infinity; its training diverged, take an earlier checkpoint")
    return values


def _hint(weights: Weights, model: str) -> str:
    """Which other models have the checkpoint's backbone, if it names one."""
    backbones = {name.split("/")[0] for name in weights}
    names = [name for name, a in ARCHITECTURES.items() if a.backbone in backbones]
    return f"its backbone is that of {', '.join(names)}; " if names and model not in names else ""


def _assign(values: Weights, variables: Variables) -> None:
    for name, value in values.items():
        variables[name].assign(value)
