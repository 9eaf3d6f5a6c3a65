"""Checkpoints written here by name and by object graph, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.errors import ModelError
from efficientdet.model.tf_checkpoint import newest_checkpoint, read_checkpoint

BIAS, KERNEL = "class_net/class-predict/bias", "efficientnet-lite0/stem/conv2d/kernel"


def save_by_name(prefix: Path, **tensors: object) -> Path:
    """What TensorFlow 1's Saver writes; `__` in a keyword stands for `/`."""
    names = [name.replace("__", "/") for name in tensors]
    values = [tf.constant(value) for value in tensors.values()]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    return prefix


def save(prefix: Path, **objects: object) -> Path:
    return Path(tf.train.Checkpoint(**objects).write(str(prefix)))


def module(**attributes: object) -> tf.Module:
    made = tf.Module()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def floats(weights: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: value.ravel().tolist() for name, value in weights.items()}


def test_averages_come_before_values_and_optimizers_not_at_all(tmp_path: Path):
    prefix = save_by_name(
        tmp_path / "model.ckpt-7",
        class_net__bias=[1.0],
        class_net__bias__ExponentialMovingAverage=[2.0],
        class_net__bias__Momentum=[3.0],
        class_net__bn__moving_mean=[4.0],
        global_step=np.int64(7),
        beta1_power=0.9,
        resnet__kernel=[5.0],
    )
    assert floats(read_checkpoint(prefix)) == {"class_net/bias": [2.0], "class_net/bn/moving_mean": [4.0]}


@pytest.mark.parametrize("scope", ["scope", "SGD__m"])
def test_the_name_with_fewer_scopes_counts(tmp_path: Path, scope: str):
    prefix = save_by_name(tmp_path / "ckpt", class_net__bias=[1.0], **{f"{scope}__class_net__bias": [2.0]})
    assert floats(read_checkpoint(prefix)) == {"class_net/bias": [1.0]}


def test_objects_are_known_by_their_variables_names(tmp_path: Path):
    named = [tf.Variable([1.0], name=f"efficientdet-d0/{BIAS}"), tf.Variable([2.0], name=KERNEL), tf.Variable([3.0])]
    prefix = save(tmp_path / "ckpt", model=module(anything=named), step=tf.Variable(7))
    assert floats(read_checkpoint(prefix)) == {BIAS: [1.0], KERNEL: [2.0]}


def test_without_names_by_their_attributes(tmp_path: Path):
    bias = tf.Variable([1.0])
    detector = module(
        class_net=module(classes=module(bias=bias)), fpn_cells=module(cells=[module(WSM=tf.Variable(2.0))])
    )
    setattr(detector, "layer_with_weights-0", module(bias=bias))  # the second way to it that Keras adds
    prefix = save(tmp_path / "ckpt", model=detector)
    assert floats(read_checkpoint(prefix)) == {"class_net/classes/bias": [1.0], "fpn_cells/cells/0/WSM": [2.0]}


def test_an_average_slot_takes_its_variables_place(tmp_path: Path):
    import tf_keras

    class Averaging(tf_keras.optimizers.legacy.SGD):
        def _create_slots(self, variables: list) -> None:
            super()._create_slots(variables)
            for variable in variables:
                self.add_slot(variable, "average").assign(variable * 10)

    bias = tf.Variable([1.0], name=BIAS)
    optimizer = Averaging(0.0, momentum=0.9)
    optimizer.apply_gradients([(tf.constant([1.0]), bias)])
    prefix = save(tmp_path / "ckpt", model=module(bias=bias), optimizer=optimizer)
    assert floats(read_checkpoint(prefix)) == {BIAS: [10.0]}


def test_variables_of_an_optimizer_are_no_weights(tmp_path: Path):
    state = module(momentum=tf.Variable([2.0], name=f"SGD/m/{KERNEL}"))
    prefix = save(tmp_path / "ckpt", model=module(bias=tf.Variable([1.0], name=BIAS)), optimizer=state)
    assert floats(read_checkpoint(prefix)) == {BIAS: [1.0]}


def test_the_newest_is_what_the_checkpoint_file_names(tmp_path: Path):
    for name in ("ckpt-1", "ckpt-2"):
        save_by_name(tmp_path / name, class_net__bias=[1.0])
    with pytest.raises(ModelError, match=r"found ckpt-1\.index, ckpt-2\.index; give the path of one"):
        newest_checkpoint(tmp_path)
    state = tmp_path / "checkpoint"
    state.write_text('model_checkpoint_path: "ckpt-1"\n')
    assert newest_checkpoint(tmp_path) == tmp_path / "ckpt-1"
    state.write_text('model_checkpoint_path: "/somewhere/else/ckpt-2"\n')
    assert newest_checkpoint(tmp_path) == tmp_path / "ckpt-2"
    state.write_text('model_checkpoint_path: "ckpt-3"\n')
    with pytest.raises(ModelError, match=r"names ckpt-3 as the newest, but .*ckpt-3\.index is missing"):
        newest_checkpoint(tmp_path)
    state.write_text("not a protocol buffer {")
    with pytest.raises(ModelError, match="cannot be read"):
        newest_checkpoint(tmp_path)


def test_the_only_one_needs_no_checkpoint_file(tmp_path: Path):
    prefix = save_by_name(tmp_path / "model.ckpt-7", class_net__bias=[1.0])
    assert newest_checkpoint(tmp_path) == prefix


@pytest.mark.parametrize("damage", ["data cut", "data missing", "data changed", "index cut", "index empty"])
@pytest.mark.parametrize("kind", ["by name", "objects"])
def test_damage_is_one_sentence(tmp_path: Path, damage: str, kind: str):
    values = np.arange(1000, dtype=np.float32)
    if kind == "by name":
        prefix = save_by_name(tmp_path / "ckpt", class_net__bias=values)
    else:
        prefix = save(tmp_path / "ckpt", bias=tf.Variable(values, name=BIAS))
    part, what = damage.split()
    file = tmp_path / ("ckpt.index" if part == "index" else "ckpt.data-00000-of-00001")
    content = file.read_bytes()
    file.unlink()
    if what != "missing":
        changed = bytes([content[2000] ^ 1]) if what == "changed" else b""
        file.write_bytes(
            {"cut": content[: len(content) // 2], "empty": b"", "changed": content[:2000] + changed + content[2001:]}[
                what
            ]
        )
    with pytest.raises(ModelError, match=r"ckpt: not a readable TensorFlow checkpoint \(.+\); copy all") as error:
        read_checkpoint(prefix)
    assert "\n" not in str(error.value)
