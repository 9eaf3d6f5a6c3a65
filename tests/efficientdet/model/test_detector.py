"""Every architecture against the published counts, names and outputs of google/automl (commit 6a54c87)."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

from efficientdet.architectures import ARCHITECTURES
from efficientdet.config import Config
from efficientdet.model.detector import RawOutputs, build_detector, normalise, reference_name

# Parameters and trainable parameters with 90 classes, as golden/models.json has them.
COUNTS = {
    "efficientdet-d0": (3_927_203, 3_880_067),
    "efficientdet-d1": (6_697_354, 6_625_898),
    "efficientdet-d2": (8_178_815, 8_097_039),
    "efficientdet-d3": (12_146_600, 12_032_296),
    "efficientdet-d4": (20_890_987, 20_723_675),
    "efficientdet-d5": (33_880_707, 33_653_315),
    "efficientdet-d6": (52_183_766, 51_871_782),
    "efficientdet-d7": (52_183_766, 51_871_782),
    "efficientdet-d7x": (77_564_894, 77_147_166),
    "efficientdet-lite0": (3_290_606, 3_243_470),
    "efficientdet-lite1": (4_311_390, 4_248_318),
    "efficientdet-lite2": (5_324_894, 5_252_334),
    "efficientdet-lite3": (8_455_054, 8_350_862),
    "efficientdet-lite3x": (9_392_574, 9_280_862),
    "efficientdet-lite4": (15_286_398, 15_130_894),
}


def config(name: str, image_size: int | str = 64) -> Config:
    return Config.parse({"model": {"name": name, "image_size": image_size}})


@functools.cache
def variables(name: str) -> dict[str, tuple[tuple[int, ...], bool]]:
    """Reference name to shape and trainability, with 90 classes; neither depends on the image size."""
    model = build_detector(config(name), 90)
    trainable = {id(v) for v in model.trainable_variables}
    return {reference_name(v): (tuple(v.shape), id(v) in trainable) for v in model.weights}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameter_counts(name: str):
    sizes = [(int(np.prod(shape)), trainable) for shape, trainable in variables(name).values()]
    assert (sum(n for n, _ in sizes), sum(n for n, trainable in sizes if trainable)) == COUNTS[name]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_variables_equal_the_reference(shared: Path, name: str):
    golden = json.loads((shared / "golden/models.json").read_text())[name]
    expected = {v["name"]: (tuple(v["shape"]), v["trainable"]) for v in golden["variables"]}
    assert variables(name) == expected
    assert (golden["params_total"], golden["params_trainable"]) == COUNTS[name]


def fill_module(shared: Path) -> ModuleType:
    """golden/fill.py: the rule that makes weights and inputs from names and seeds."""
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden/fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled(shared: Path, name: str, size: int | str, num_classes: int) -> keras.Model:
    fill = fill_module(shared)
    fill.G = 1.0 if "lite" in name else 2.0
    model = build_detector(config(name, size), num_classes)
    for variable in model.weights:
        variable.assign(fill.value(reference_name(variable), variable.shape))
    return model


def assert_close(actual: object, expected: np.ndarray, what: str) -> None:
    actual = np.asarray(actual)
    assert actual.shape == expected.shape, what
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    assert error <= 1e-4, f"{what}: {error}"


@pytest.mark.parametrize("name", ["efficientdet-lite0", "efficientdet-d0"])
def test_network_equals_the_reference(shared: Path, name: str):
    golden = np.load(shared / f"golden/net_{name.removeprefix('efficientdet-')}_128.npz")
    model = filled(shared, name, 128, 90)
    backbone, bifpn = model.get_layer(ARCHITECTURES[name].backbone), model.get_layer("fpn_cells")
    probe = keras.Model(model.input, [backbone.output, bifpn.input, bifpn.output, *model.output])
    features, into, out, logits, deltas = probe(golden["x"])
    for level, feature in enumerate(features, start=1):
        assert_close(feature, golden[f"backbone_{level}"], f"backbone level {level}")
    for i, level in enumerate(range(3, 8)):
        assert_close(into[i], golden[f"fpn_in_{level}"], f"BiFPN input {level}")
        assert_close(out[i], golden[f"fpn_out_{level}"], f"BiFPN output {level}")
        assert_close(logits[i], golden[f"cls_{level}"], f"class logits {level}")
        assert_close(deltas[i], golden[f"box_{level}"], f"box deltas {level}")


def test_odd_feature_sizes_equal_the_reference(shared: Path):
    """136x200: levels of 17x25, 9x13, 5x7, 3x4, 2x2, none a whole multiple of the next."""
    golden = np.load(shared / "golden/net_d0_136x200_c4.npz")
    images = fill_module(shared).image(5, (1, 136, 200, 3))  # seed from manifest.json
    raw = filled(shared, "efficientdet-d0", "200x136", 4)(images)
    for level, logits, deltas in zip(range(3, 8), *raw, strict=True):
        assert_close(logits, golden[f"cls_{level}"], f"class logits {level}")
        assert_close(deltas, golden[f"box_{level}"], f"box deltas {level}")


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_detector(config("efficientdet-lite0"), 3)


def test_outputs_per_level(lite0: keras.Model):
    raw = lite0(np.zeros((2, 64, 64, 3), np.float32))
    assert isinstance(raw, RawOutputs)
    assert [tuple(level.shape) for level in raw.class_logits] == [(2, s, s, 27) for s in (8, 4, 2, 1, 1)]
    assert [tuple(level.shape) for level in raw.box_deltas] == [(2, s, s, 36) for s in (8, 4, 2, 1, 1)]


def test_training_state_restores_exactly(lite0: keras.Model):
    """Stochastic depth draws anew each step, and again the same from restored values of model.variables."""
    images = np.random.default_rng(0).standard_normal((4, 64, 64, 3)).astype(np.float32)
    state = [v.numpy() for v in lite0.variables]
    first = lite0(images, training=True).box_deltas[0]
    second = lite0(images, training=True).box_deltas[0]
    assert not np.array_equal(first, second)
    for variable, value in zip(lite0.variables, state, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(lite0(images, training=True).box_deltas[0], first)


def test_seed_state_is_the_only_variable_that_is_no_weight(lite0: keras.Model):
    weights = {id(v) for v in lite0.weights}
    assert [v.path for v in lite0.variables if id(v) not in weights] == ["stochastic_depth/seed_generator_state"]


def test_normalise_uses_the_architecture_constants():
    grey = np.full((1, 2, 2, 3), 127, np.uint8)
    np.testing.assert_array_equal(normalise(grey, config("efficientdet-lite0")), np.zeros((1, 2, 2, 3), np.float32))
    imagenet = normalise(np.array([0.485, 0.456, 0.406], np.float32) * 255, config("efficientdet-d0"))
    np.testing.assert_allclose(imagenet, 0, atol=1e-5)
    np.testing.assert_allclose(normalise(np.float32([255.0] * 3), config("efficientdet-lite0")), 1.0)
