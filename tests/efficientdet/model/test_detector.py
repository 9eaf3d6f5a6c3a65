"""Every architecture and option against the counts, names and outputs of google/automl (commit 6a54c87)."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientdet.architectures import ARCHITECTURES
from efficientdet.config import Config
from efficientdet.model.detector import (
    RawOutputs,
    SegmentedOutputs,
    build_detector,
    normalise,
    normalise_rows,
    reference_name,
)

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
NETWORKS = [
    "net_lite0_128",
    "net_d0_128",
    "net_d0_136x200_c4",
    "net_d0_256x256_c90",
    "net_d0_512x512_c90",
    "net_lite0_320x320_c90",
]
VARIANTS = [
    "fpn_sum",
    "fpn_attn",
    "fpn_channel_attn",
    "fpn_channel_fastattn",
    "qufpn",
    "max_level8",
    "min_level2",
    "max_level6",
    "conv_bn_act",
    "conv_after_downsample",
    "no_sepconv",
    "no_bn_resample",
    "survival_prob",
    "act_relu",
    "act_hswish",
    "act_mish",
    "act_relu6",
    "anchors_5x2",
]
Variables = dict[str, tuple[tuple[int, ...], bool]]


def config(name: str, image_size: int | str = 64) -> Config:
    return Config.parse({"model": {"name": name, "image_size": image_size}})


def variables_of(model: keras.Model) -> Variables:
    """Reference name to shape and trainability."""
    trainable = {id(v) for v in model.trainable_variables}
    return {reference_name(v): (tuple(v.shape), id(v) in trainable) for v in model.weights}


def shapes_of(model: keras.Model) -> tuple[list[tuple], list[tuple]]:
    """Per level, the shapes of class logits and box deltas without the batch axis."""
    shapes = [shape[1:] for shape in model.output_shape]
    return shapes[: len(shapes) // 2], shapes[len(shapes) // 2 :]


@functools.cache
def published(name: str) -> tuple[Variables, tuple[list[tuple], list[tuple]]]:
    """Variables and output shapes with 90 classes at the architecture's own size."""
    model = build_detector(Config.parse({"model": {"name": name}}), 90)
    return variables_of(model), shapes_of(model)


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name: str):
    sizes = [(int(np.prod(shape)), trainable) for shape, trainable in published(name)[0].values()]
    assert (sum(n for n, _ in sizes), sum(n for n, trainable in sizes if trainable)) == COUNTS[name]


@pytest.mark.parametrize("name", COUNTS)
def test_variables_and_shapes_equal_the_reference(golden: Any, name: str):
    theirs = golden.models[name]
    variables, shapes = published(name)
    assert variables == {v["name"]: (tuple(v["shape"]), v["trainable"]) for v in theirs["variables"]}
    assert (theirs["params_total"], theirs["params_trainable"]) == COUNTS[name]
    for ours, other in zip(shapes, (theirs["class_output_shapes"], theirs["box_output_shapes"]), strict=True):
        assert ours == [tuple(shape[1:]) for shape in other]


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - set(COUNTS)))
def test_fixed_resolutions_have_their_parents_variables(name: str):
    variables, shapes = published(name)
    assert variables == published(name.removesuffix("(640)"))[0]
    assert shapes[0] == [(s, s, 9 * 90) for s in (80, 40, 20, 10, 5)]


def check_levels(close: Any, raw: RawOutputs, arrays: Any, strides: dict[int, int], prefix: str = "") -> None:
    """Class logits and box deltas of all levels there are in `arrays`, at the cells that it keeps."""
    levels = sorted(int(key[-1]) for key in arrays if re.fullmatch(rf"{prefix}cls_\d", key))
    for kind, outputs in (("cls", raw.class_logits), ("box", raw.box_deltas)):
        for level, output in zip(levels, outputs, strict=True):
            key, values, stride = f"{kind}_{level}", np.asarray(output), strides.get(level, 1)
            close(values[:, ::stride, ::stride], arrays[f"{prefix}{key}"], f"{prefix}{key}")
            if f"stats_{key}" in arrays:
                stats = [values.mean(), values.std(), values.min(), values.max(), np.abs(values).sum(dtype=np.float64)]
                np.testing.assert_allclose(stats, arrays[f"stats_{key}"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_equal_the_reference(golden: Any, close: Any, name: str):
    """136x200 has levels of 17x25, 9x13, 5x7, 3x4, 2x2, none a whole multiple of the next."""
    made, arrays = golden.made(name), golden.arrays(name)
    settings = Config.parse(made["config"])
    model = golden.fill(build_detector(settings, made["config"]["num_classes"]))
    backbone, bifpn = model.get_layer(settings.model.architecture.backbone), model.get_layer("fpn_cells")
    probe = keras.Model(model.input, [backbone.output, bifpn.input, bifpn.output, *model.output])
    images = arrays["x"] if "x" in arrays else golden.image(made["input_seed"], (1, *settings.model.input_size, 3))
    features, into, out, *raw = probe(images)
    strides = re.search(r"spatial stride (\{.*?\})", made["how"])
    check_levels(close, RawOutputs(*raw), arrays, ast.literal_eval(strides[1]) if strides else {})
    if "backbone_1" in arrays:
        for level, feature in enumerate(features, start=1):
            close(feature, arrays[f"backbone_{level}"], f"backbone level {level}")
        for i, level in enumerate(range(3, 8)):
            close(into[i], arrays[f"fpn_in_{level}"], f"BiFPN input {level}")
            close(out[i], arrays[f"fpn_out_{level}"], f"BiFPN output {level}")


def test_every_variant_is_tested(golden: Any):
    assert set(golden.made("net_variants")["overrides"]) == set(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_options_equal_the_reference(golden: Any, close: Any, name: str):
    made, size = golden.made("net_variants"), 128 if name == "max_level8" else 64
    common = {"fpn_num_filters": 24, "fpn_cell_repeats": 2, "box_class_repeats": 2}
    values = {"name": "efficientdet-d0", "image_size": size, **common, **made["overrides"][name]}
    model = golden.fill(build_detector(Config.parse(values), 3))
    assert {key: shape for key, (shape, _) in variables_of(model).items()} == {
        key: tuple(shape) for key, shape in made["variables"][name]
    }
    check_levels(close, model(golden.image(8, (1, size, size, 3))), golden.arrays("net_variants"), {}, f"{name}/")


def test_segmentation_equals_the_reference(golden: Any, close: Any):
    arrays = golden.arrays("net_seg_d0_128")
    heads = ["object_detection", "segmentation"]
    settings = Config.parse({"name": "efficientdet-d0", "image_size": 128, "heads": heads, "seg_num_classes": 3})
    model = golden.fill(build_detector(settings, 3))
    raw = model(golden.image(9, (1, 128, 128, 3)))
    assert isinstance(raw, SegmentedOutputs)
    close(raw.segmentation, arrays["seg"], "segmentation")
    check_levels(close, raw, arrays, {})
    ours = {name: shape for name, (shape, _) in variables_of(model).items() if name.startswith("segmentation")}
    assert ours == {name: tuple(shape) for name, shape in golden.made("net_seg_d0_128")["variables"]}


def test_features_for_transfer_equal_the_reference(golden: Any, close: Any):
    """What its feature modules on TF-Hub give: the heads' last hidden layers."""
    model = golden.fill(build_detector(config("efficientdet-lite0"), 90))
    pyramid = keras.Model(model.input, model.get_layer("fpn_cells").output)(golden.image(10, (1, 64, 64, 3)))
    hidden = [model.get_layer(name).hidden(pyramid, training=False) for name in ("class_net", "box_net")]
    check_levels(close, RawOutputs(*hidden), golden.arrays("net_feature_only_lite0_64"), {})


@pytest.mark.parametrize("size", ["512", "640", "320", "(136, 200)", "1920x1280", "(127, 129)"])
def test_sizes_of_levels_equal_the_reference(golden: Any, size: str):
    expected = [(cell["height"], cell["width"]) for cell in golden.manifest["feat_sizes"][size]]
    image_size = list(ast.literal_eval(size)) if size.startswith("(") else size
    levels = {"min_level": 1, "max_level": 8, "fpn_repeats": 1, "fpn_filters": 8}
    settings = Config.parse({"model": {"image_size": image_size, **levels}})
    assert settings.model.input_size == expected[0]
    classes, boxes = shapes_of(build_detector(settings, 2))
    assert classes == [(*cell, 9 * 2) for cell in expected[1:]]
    assert boxes == [(*cell, 9 * 4) for cell in expected[1:]]


def test_wiring_and_pairs_of_aspects_are_the_users():
    """Two nodes on two levels, and two anchors in a cell."""
    nodes = [{"level": 3, "inputs": [0, 1]}, {"level": 4, "inputs": [1, 2]}]
    values = {"fpn_nodes": nodes, "min_level": 3, "max_level": 4, "image_size": 64, "fpn_filters": 8}
    model = build_detector(Config.parse({"model": {**values, "num_scales": 1, "aspect_ratios": [1, [1.4, 0.7]]}}), 3)
    assert shapes_of(model) == ([(8, 8, 6), (4, 4, 6)], [(8, 8, 8), (4, 4, 8)])
    cell = model.get_layer("fpn_cells").cells[0]
    assert [node.name for node in cell.nodes] == ["fnode0", "fnode1"]


def learnt(values: dict, wrap: Callable[..., Any]) -> dict[str, np.ndarray]:
    """Loss, gradients and moved statistics of one training step from given weights."""
    keras.utils.set_random_seed(0)
    model = build_detector(Config.parse(values), 3)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.standard_normal((4, 64, 64, 3)), tf.float32)

    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            raw = model(images, training=True)
            loss = sum(tf.reduce_mean(tf.square(level)) for outputs in raw for level in outputs)
        return [loss, *tape.gradient(loss, [v.value for v in model.trainable_variables])]

    loss, *gradients = wrap(step)()
    found = {v.path: gradient.numpy() for v, gradient in zip(model.trainable_variables, gradients, strict=True)}
    return {"loss": loss.numpy(), **found, **{v.path: v.numpy() for v in model.non_trainable_variables}}


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_recomputing_activations_changes_nothing_learnt(wrap: Callable[..., Any]):
    """Gradients, moving statistics and the state of the random draws, with stochastic depth in backbone and heads."""
    levels = {"min_level": 4, "max_level": 5, "fpn_repeats": 1, "head_repeats": 2, "fpn_filters": 16}
    model = {"image_size": 64, "fusion": "fastattn", "head_survival": 0.5, **levels}
    kept, again = (
        learnt({"model": model, "training": {"grad_checkpoint": recompute, "seed": 5}}, wrap)
        for recompute in (False, True)
    )
    assert list(kept) == list(again)
    assert sum(name.endswith("seed_generator_state") for name in kept) == 2
    # Gradients of biases before a normalisation are zero but for rounding, which graphs do in any order.
    floor = 1e-3 * max(np.abs(value).max() for value in kept.values())
    for name, value in kept.items():
        error = np.abs(np.asarray(again[name], np.float64) - np.asarray(value, np.float64)).max()
        assert error <= 1e-3 * max(np.abs(value).max(), floor), name


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


@pytest.mark.parametrize("name", ["efficientdet-lite0", "efficientdet-d0"])
def test_rows_are_normalised_alike(name: str):
    settings = config(name).override("model.image_size=64x96")
    images = np.random.default_rng(0).uniform(0, 255, (2, *settings.model.input_size, 3)).astype(np.float32)
    expected = normalise(images, settings)
    np.testing.assert_array_equal(normalise_rows(images, settings), expected)
    in_graph = tf.function(lambda images: normalise_rows(images, settings))
    np.testing.assert_allclose(in_graph(images), expected, atol=1e-6)


def test_normalise_uses_the_architecture_constants():
    grey = np.full((1, 2, 2, 3), 127, np.uint8)
    np.testing.assert_array_equal(normalise(grey, config("efficientdet-lite0")), np.zeros((1, 2, 2, 3), np.float32))
    imagenet = normalise(np.array([0.485, 0.456, 0.406], np.float32) * 255, config("efficientdet-d0"))
    np.testing.assert_allclose(imagenet, 0, atol=1e-5)
    np.testing.assert_allclose(normalise(np.float32([255.0] * 3), config("efficientdet-lite0")), 1.0)
    own = Config.parse({"mean_rgb": 127.5, "stddev_rgb": [127.5, 127.5, 255.0]})
    np.testing.assert_array_equal(normalise(np.float32([255, 0, 0]), own), [1, -1, -0.5])
