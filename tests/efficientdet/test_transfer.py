"""What checkpoints give to a detector: everything, everything but the classes, classes by name, or nothing."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
import tensorflow as tf

from efficientdet.checkpoint import save_detector
from efficientdet.class_names import named_classes
from efficientdet.config import Config
from efficientdet.errors import ModelError
from efficientdet.label_map import LabelMap
from efficientdet.model.detector import build_detector, reference_name
from efficientdet.model.variable_names import attribute_paths
from efficientdet.transfer import Transfer, load_backbone, load_checkpoint

NAMES = ("dog", "traffic_light", "unicorn")
CLASS, BOX = "class_net/class-predict", "box_net/box-predict"
BY_CLASS = {f"{CLASS}/pointwise_kernel", f"{CLASS}/bias"}
STEM = "efficientnet-lite0/stem/conv2d/kernel"

Values = dict[str, np.ndarray]


def config(settings: str = "", name: str = "efficientdet-lite0", size: int = 64) -> Config:
    base = f"model.name={name},model.image_size={size},model.backbone_weights=null"
    return Config().override(f"{base},{settings}" if settings else base)


def detector(num_classes: int = len(NAMES), **settings: object) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_detector(config(**settings), num_classes)


@functools.cache
def unchanged() -> keras.Model:
    """One network for all that is refused."""
    return detector()


def values(model: keras.Model) -> Values:
    return {reference_name(v): v.numpy() for v in model.weights}


def random_values(num_classes: int, seed: int = 1, **settings: object) -> Values:
    rng = np.random.default_rng(seed)
    return {n: rng.random(v.shape, np.float32) for n, v in values(detector(num_classes, **settings)).items()}


def save(prefix: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """A checkpoint by name."""
    constants = [tf.constant(value) for value in tensors.values()]
    slices = [""] * len(constants)
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=list(tensors), shape_and_slices=slices, tensors=constants)
    return prefix


def assert_same(actual: Values, expected: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> None:
    for name in names or expected:
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


def assert_refused(path: Path, match: str, model: keras.Model | None = None, **arguments: object) -> None:
    """One sentence, and no variable has changed."""
    model = model or unchanged()
    before = values(model)
    with pytest.raises(ModelError, match=match) as error:
        load_checkpoint(model, path, NAMES, **arguments)
    assert "\n" not in str(error.value)
    assert_same(values(model), before)


@pytest.fixture(scope="module")
def stored() -> Values:
    """A lite0 for three classes."""
    return random_values(3)


@pytest.fixture(scope="module")
def coco() -> Values:
    """A lite0 for COCO's 90 ids."""
    return random_values(90)


def test_everything_is_loaded_but_the_optimizer(tmp_path: Path, stored: Values):
    extra = {
        f"{STEM}/Momentum": stored[STEM] * 0,
        "global_step": np.int64(1),
        "efficientnet-lite0/head/beta": stored[STEM],
    }
    model = detector()
    result = load_checkpoint(model, save(tmp_path / "ckpt", {**stored, **extra}), NAMES)
    assert_same(values(model), stored)
    path = str(tmp_path / "ckpt")
    assert result == Transfer(path, result.loaded, unused=("efficientnet-lite0/head/beta",))
    assert set(result.loaded) == set(stored)
    assert result.summary() == f"{path}: {len(stored)} variables loaded, 1 of the checkpoint not used"


def test_without_names_variables_are_found_by_attributes(tmp_path: Path, stored: Values):
    root = tf.Module()
    for name, path in attribute_paths(stored).items():
        *parents, leaf = path.split("/")
        place = root
        for parent in parents:
            if not hasattr(place, parent):
                setattr(place, parent, tf.Module())
            place = getattr(place, parent)
        setattr(place, leaf, tf.Variable(stored[name]))
    tf.train.Checkpoint(model=root).write(str(tmp_path / "ckpt"))
    model = detector()
    result = load_checkpoint(model, tmp_path / "ckpt", NAMES)
    assert_same(values(model), stored)
    assert (result.skipped, result.unused) == ({}, ())


def test_another_class_count_leaves_the_class_layer_fresh(tmp_path: Path, coco: Values):
    model = detector()
    before = values(model)
    result = load_checkpoint(model, save(tmp_path / "ckpt", coco), NAMES)
    assert result.skipped == dict.fromkeys(sorted(BY_CLASS, reverse=True), "class count: 90 there, 3 here")
    assert_same(values(model), before, sorted(BY_CLASS))
    assert_same(values(model), coco, [name for name in coco if name not in BY_CLASS])
    assert result.summary().endswith("2 left fresh (class count: 90 there, 3 here)")


def test_classes_are_carried_over_by_name(tmp_path: Path, coco: Values):
    model = detector()
    before = values(model)
    result = load_checkpoint(model, save(tmp_path / "ckpt", coco), NAMES, named_classes("coco"))
    assert (result.classes, result.skipped, set(result.loaded)) == (("dog", "traffic_light"), {}, set(coco))
    after = values(model)
    dog, light = 18 - 1, 10 - 1  # COCO's ids
    for name in BY_CLASS:
        ours, theirs, fresh = (v[name].reshape(*v[name].shape[:-1], 9, -1) for v in (after, coco, before))
        np.testing.assert_array_equal(ours[..., 0], theirs[..., dog])
        np.testing.assert_array_equal(ours[..., 1], theirs[..., light])
        np.testing.assert_array_equal(ours[..., 2], fresh[..., 2])
    assert_same(after, coco, [name for name in coco if name not in BY_CLASS])
    assert "2 classes carried over by name (dog, traffic_light)" in result.summary()


def test_the_same_classes_in_the_same_order_are_a_plain_load(tmp_path: Path, stored: Values):
    model = detector()
    names = ["Dog", "traffic light", "UNICORN"]
    assert load_checkpoint(model, save(tmp_path / "ckpt", stored), NAMES, names).classes == NAMES
    assert_same(values(model), stored)


def test_the_same_count_of_other_classes_is_not_mixed_up(tmp_path: Path, stored: Values):
    model = detector()
    before = values(model)
    result = load_checkpoint(model, save(tmp_path / "ckpt", stored), NAMES, named_classes("waymo"))
    assert set(result.skipped) == BY_CLASS
    assert set(result.skipped.values()) == {"class names: none in common"}
    assert_same(values(model), before, sorted(BY_CLASS))


def test_class_names_must_be_as_many_as_the_classes(tmp_path: Path, coco: Values):
    path = save(tmp_path / "ckpt", coco)
    assert_refused(path, "predicts 90 classes, but 20 class names are given", checkpoint_classes=named_classes("voc"))


def test_a_logit_for_the_background_is_allowed(tmp_path: Path, stored: Values):
    model = detector()
    load_checkpoint(model, save(tmp_path / "ckpt", stored), NAMES, ["cat", "unicorn"])
    bias = values(model)[f"{CLASS}/bias"].reshape(9, 3)
    np.testing.assert_array_equal(bias[:, 2], stored[f"{CLASS}/bias"].reshape(9, 3)[:, 1])


def test_other_anchors_leave_both_last_layers_fresh(tmp_path: Path):
    """One anchor of nine classes has as many outputs as nine of one; it is not the same layer."""
    path = save(tmp_path / "ckpt", random_values(9, settings="model.num_scales=1,model.aspect_ratios=[1.0]"))
    model = detector(1)
    before = values(model)
    result = load_checkpoint(model, path, ["dog"], [f"class {i}" for i in range(9)])
    assert result.skipped == dict.fromkeys(
        [f"{layer}/{leaf}" for layer in (CLASS, BOX) for leaf in ("pointwise_kernel", "bias")],
        "anchors per cell: 1 there, 9 here",
    )
    assert_same(values(model), before, list(result.skipped))


def test_a_module_without_last_layers_is_no_error(tmp_path: Path, stored: Values):
    module = tf.Module()
    features = {name: value for name, value in stored.items() if "-predict/" not in name}
    module.all = [tf.Variable(value, name=name) for name, value in features.items()]
    tf.saved_model.save(module, str(tmp_path / "module"))
    model = detector()
    result = load_checkpoint(model, tmp_path / "module", NAMES, NAMES)
    assert_same(values(model), features)
    assert set(result.skipped) == set(stored) - set(features)
    assert result.skipped[f"{BOX}/bias"] == f"the checkpoint has no {BOX}"


def test_a_segmentation_head_may_be_new(tmp_path: Path, stored: Values):
    model = detector(settings="model.heads=[object_detection,segmentation],model.image_size=128")
    result = load_checkpoint(model, save(tmp_path / "ckpt", stored), NAMES)
    assert_same(values(model), stored)
    assert set(result.skipped) == set(values(model)) - set(stored)
    assert set(result.skipped.values()) == {"the checkpoint has no segmentation_head"}


def test_a_detector_of_ours_brings_its_class_names(tmp_path: Path):
    source = detector(2)
    for variable, value in zip(source.weights, random_values(2).values(), strict=True):
        variable.assign(value)
    save_detector(tmp_path / "detector", source, config(), LabelMap.from_names(["cat", "dog"]))
    for path in (tmp_path / "detector", tmp_path / "detector/detector.weights.h5"):
        model = detector()
        result = load_checkpoint(model, path, NAMES)
        assert result.classes == ("dog",)
        bias = values(model)[f"{CLASS}/bias"].reshape(9, 3)
        np.testing.assert_array_equal(bias[:, 0], values(source)[f"{CLASS}/bias"].reshape(9, 2)[:, 1])


def test_only_the_backbone(tmp_path: Path, coco: Values):
    model = detector()
    before = values(model)
    result = load_backbone(model, save(tmp_path / "ckpt", coco))
    assert len(result.loaded) == 240
    assert set(result.loaded) | set(result.unused) == set(coco)
    assert_same(values(model), coco, result.loaded)
    assert_same(values(model), before, result.unused)
    del coco[STEM]
    with pytest.raises(ModelError, match=r"stem/conv2d/kernel is not there \(1 of 240 variables missing"):
        load_backbone(model, save(tmp_path / "less", coco))


def test_another_architecture_is_refused(tmp_path: Path, stored: Values):
    path = save(tmp_path / "ckpt", stored)
    match = (
        r"ckpt: does not fit efficientdet-d0: efficientnet-b0/.* is not there \(\d+ of \d+ variables missing, "
        r"0 of another shape\); its backbone is that of efficientdet-lite0; set model.name"
    )
    assert_refused(path, match, detector(name="efficientdet-d0"))


def test_another_pyramid_width_is_refused(tmp_path: Path, stored: Values):
    narrow = {n: v[..., :32] if n.startswith("resample_p6/conv2d") else v for n, v in stored.items()}
    match = r"resample_p6/conv2d/kernel is \(1, 1, 320, 32\) there, \(1, 1, 320, 64\) here \(0 of \d+ .*2 of another"
    assert_refused(save(tmp_path / "ckpt", narrow), match)


@pytest.mark.parametrize(
    ("name", "value", "classes"),
    [(STEM, np.nan, None), (f"{CLASS}/bias", np.inf, None), (f"{CLASS}/bias", np.nan, NAMES)],
)
def test_values_must_be_finite(tmp_path: Path, stored: Values, name: str, value: float, classes: object):
    spoilt = {**stored, name: stored[name].copy()}
    spoilt[name].flat[-1] = value
    path = save(tmp_path / "ckpt", spoilt)
    assert_refused(path, rf"ckpt: {name} holds NaN or infinity", checkpoint_classes=classes)


def test_damaged_and_wrong_files_change_nothing(tmp_path: Path, stored: Values):
    data = Path(f"{save(tmp_path / 'ckpt', stored)}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:100_000])
    assert_refused(tmp_path / "ckpt", "not a readable TensorFlow checkpoint")
    for name, content in (("text", b"hello"), ("empty", b""), ("zip", b"PK\3\4")):
        (tmp_path / name).write_bytes(content)
        assert_refused(tmp_path / name, "but a TensorFlow checkpoint, .* is needed")
    assert_refused(tmp_path / "none", "there is no such file")


def fill_module(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden/fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_averages_of_the_reference_give_its_outputs(shared: Path):
    model = detector(90, size=128)
    path = shared / "golden/ckpt/efficientdet-lite0_tf1name_ema.tar.gz"
    result = load_checkpoint(model, path, [str(name) for name in named_classes("coco")])
    assert (len(result.loaded), result.skipped, result.unused) == (588, {}, ())
    golden = np.load(shared / "golden/net_lite0_128_ema.npz")
    raw = model(np.load(shared / "golden/net_lite0_128.npz")["x"], training=False)
    for head, levels in (("cls", raw.class_logits), ("box", raw.box_deltas)):
        for level, output in enumerate(levels, start=3):
            expected = golden[f"{head}_{level}"]
            assert np.abs(output - expected).max() <= 1e-4 * np.abs(expected).max(), f"{head}_{level}"


@pytest.mark.parametrize(
    ("file", "name", "growth"),
    [("efficientdet-lite0.h5", "efficientdet-lite0", 1.0), ("efficientdet-d0_tf2.tar.gz", "efficientdet-d0", 2.0)],
)
def test_files_of_the_reference_carry_classes_over(shared: Path, file: str, name: str, growth: float):
    fill = fill_module(shared)
    fill.G = growth
    model = detector(1, name=name)
    result = load_checkpoint(model, shared / "golden/ckpt" / file, ["cat"], named_classes("coco"))
    assert (result.classes, result.skipped) == (("cat",), {})
    for variable, value in values(model).items():
        if variable in BY_CLASS:
            theirs = fill.value(variable, (*value.shape[:-1], 810))
            expected = theirs.reshape(*value.shape[:-1], 9, 90)[..., 17 - 1]
        else:
            expected = fill.value(variable, value.shape)
        np.testing.assert_array_equal(value, expected, err_msg=variable)
