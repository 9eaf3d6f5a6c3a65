"""AutoAugment's learnt policies for detection (arXiv 1906.11172) and RandAugment (1909.13719), as in google/automl.

Images are `[h, w, 3]` uint8, boxes `[n, 4]` float32 yxyx pixels of the image beside them, seeds int32 `[2]`.
A policy is a list of sub-policies, one of which is drawn for an image; its operations run in order, each with
its probability. An operation's level, up to 10 in the learnt policies, says how far it goes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import tensorflow as tf

from efficientdet.data import image_ops as ops

# Operations on single boxes are rarer than written, so that crowded images stay recognisable.
BOX_RARITY = 3

Scene = tuple[tf.Tensor, tf.Tensor]
Operation = tuple[str, float, int]
Policy = tuple[tuple[Operation, ...], ...]


def autoaugment(image: tf.Tensor, boxes: tf.Tensor, policy: str, seed: tf.Tensor) -> Scene:
    """The image and its boxes, in their order, after a sub-policy of `policy` that `seed` chooses.

    Boxes stay inside the image; those that left it are degenerate.
    """
    which, how = tf.unstack(tf.random.split(seed, 2))
    branches = [partial(_run, operations, image, boxes, how) for operations in POLICIES[policy]]
    chosen = tf.random.stateless_uniform([], which, 0, len(branches), tf.int32)
    return tf.switch_case(chosen, branches)


def _run(operations: tuple[Operation, ...], image: tf.Tensor, boxes: tf.Tensor, seed: tf.Tensor) -> Scene:
    seeds = tf.unstack(tf.random.split(seed, len(operations)))
    for operation, own_seed in zip(operations, seeds, strict=True):
        image, boxes = _maybe(operation, image, boxes, own_seed)
    return image, boxes


def _maybe(operation: Operation, image: tf.Tensor, boxes: tf.Tensor, seed: tf.Tensor) -> Scene:
    """Runs `operation` with its probability: once for the image, or box by box."""
    name, probability, level = operation
    if name in INSIDE_BOXES:
        change = partial(INSIDE_BOXES[name], level=level)
        return change_inside_boxes(image, boxes, change, probability / BOX_RARITY, seed), boxes
    when, how = tf.unstack(tf.random.split(seed, 2))
    happens = tf.random.stateless_uniform([], when) < probability
    return tf.cond(happens, lambda: OPERATIONS[name](image, boxes, level, how), lambda: (image, boxes))


def change_inside_boxes(
    image: tf.Tensor, boxes: tf.Tensor, change: Callable, probability: float, seed: tf.Tensor
) -> tf.Tensor:
    """The image with `change(patch, seed=...)` in place of what each box holds, box by box with `probability`."""
    which, order, how = tf.unstack(tf.random.split(seed, 3))
    happens = tf.random.stateless_uniform(tf.shape(boxes)[:1], which) < probability
    chosen = tf.random.experimental.stateless_shuffle(tf.boolean_mask(boxes, happens & ops.has_area(boxes)), order)

    def one(image: tf.Tensor, numbered: Scene) -> tf.Tensor:
        number, box = numbered
        (top, left), (bottom, right) = (tf.unstack(corner) for corner in _extent(box, image))
        patch = change(image[top:bottom, left:right], seed=how + tf.stack([0, number]))
        rows = tf.concat([image[top:bottom, :left], patch, image[top:bottom, right:]], axis=1)
        return tf.ensure_shape(tf.concat([image[:top], rows, image[bottom:]], axis=0), image.shape)

    return tf.foldl(one, (tf.range(tf.shape(chosen)[0]), chosen), initializer=image)


def _extent(box: tf.Tensor, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First pixel of a box `[4]` and the pixel after its last, both int32 `[2]` yx: at least one pixel of the image."""
    size = tf.shape(image)[:2]
    first, last = (tf.clip_by_value(corner, 0, size - 1) for corner in tf.split(tf.cast(box, tf.int32), 2))
    return first, last + 1


def _pixel(start: tf.Tensor, end: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A pixel from `start` up to, not including, `end`, all int32 `[2]` yx."""
    draws = tf.random.stateless_uniform([2], seed)
    return start + tf.cast(draws * tf.cast(end - start, tf.float32), tf.int32)


def _signed(amount: float, seed: tf.Tensor) -> tf.Tensor:
    """`amount` or its opposite."""
    return amount * tf.where(tf.random.stateless_uniform([], seed) < 0.5, 1.0, -1.0)


def _pixels(change: Callable, amount: Callable[[int], float] | None = None) -> Callable:
    """An operation that leaves boxes alone; `amount` makes the argument of `change` from a level."""

    def apply(image: tf.Tensor, boxes: tf.Tensor, level: int, seed: tf.Tensor) -> Scene:
        return change(image, amount(level)) if amount else change(image), boxes

    return apply


def _moving(motion: Callable, per_level: float) -> Callable:
    """An operation that moves image and boxes, either way with equal chance."""

    def apply(image: tf.Tensor, boxes: tf.Tensor, level: int, seed: tf.Tensor) -> Scene:
        move = motion(_signed(level * per_level, seed))
        return ops.move_image(image, move), ops.move_boxes(boxes, tf.shape(image)[:2], move)

    return apply


def _moving_patch(motion: Callable, per_level: float) -> Callable:
    """The same for what is inside a box."""

    def apply(patch: tf.Tensor, level: int, seed: tf.Tensor) -> tf.Tensor:
        return ops.move_image(patch, motion(_signed(level * per_level, seed)))

    return apply


def _cutout(image: tf.Tensor, reach: int, seed: tf.Tensor) -> tf.Tensor:
    """Greys a square about a pixel drawn from the whole image."""
    size = tf.shape(image)[:2]
    return ops.erase(image, _pixel(tf.zeros_like(size), size, seed), reach)


def _cutout_in_a_box(image: tf.Tensor, boxes: tf.Tensor, level: int, seed: tf.Tensor) -> Scene:
    """Greys a rectangle about a pixel of a box drawn at random; at level 10 of three quarters of its sides."""
    which, where = tf.unstack(tf.random.split(seed, 2))
    present = tf.boolean_mask(boxes, ops.has_area(boxes))
    number = tf.random.stateless_uniform([], which, 0, tf.maximum(tf.shape(present)[0], 1), tf.int32)
    # An empty box of its own keeps an image without boxes as it is: three quarters of half a pixel are none.
    start, end = _extent(tf.concat([present, tf.zeros([1, 4])], axis=0)[number], image)
    reach = tf.cast(tf.cast(end - start, tf.float32) / 2 * (0.075 * level), tf.int32)
    return ops.erase(image, _pixel(start, end, where), reach), boxes


def _factor(level: int) -> float:
    """0.1 at level 0, 1.9 at level 10."""
    return level / 10 * 1.8 + 0.1


# On the image as a whole: (image, boxes, level, seed) -> (image, boxes).
OPERATIONS: dict[str, Callable] = {
    "AutoContrast": _pixels(ops.autocontrast),
    "Equalize": _pixels(ops.equalize),
    "Posterize": _pixels(ops.posterize, lambda level: level * 4 // 10),
    "Solarize": _pixels(ops.solarize, lambda level: level * 256 // 10),
    "SolarizeAdd": _pixels(ops.solarize_add, lambda level: level * 11),
    "Color": _pixels(ops.color, _factor),
    "Contrast": _pixels(ops.contrast, _factor),
    "Brightness": _pixels(ops.brightness, _factor),
    "Sharpness": _pixels(ops.sharpness, _factor),
    "Cutout": lambda image, boxes, level, seed: (_cutout(image, level * 10, seed), boxes),
    "BBox_Cutout": _cutout_in_a_box,
    "Rotate_BBox": _moving(ops.rotation, 3.0),
    "ShearX_BBox": _moving(ops.shear_x, 0.03),
    "ShearY_BBox": _moving(ops.shear_y, 0.03),
    "TranslateX_BBox": _moving(ops.shift_x, 25.0),
    "TranslateY_BBox": _moving(ops.shift_y, 25.0),
}

# On what single boxes hold, the boxes staying where they are: (patch, level, seed) -> patch.
INSIDE_BOXES: dict[str, Callable] = {
    "Cutout_Only_BBoxes": lambda patch, level, seed: _cutout(patch, level * 5, seed),
    "Equalize_Only_BBoxes": lambda patch, level, seed: ops.equalize(patch),
    "Flip_Only_BBoxes": lambda patch, level, seed: patch[:, ::-1],
    "ShearX_Only_BBoxes": _moving_patch(ops.shear_x, 0.03),
    "ShearY_Only_BBoxes": _moving_patch(ops.shear_y, 0.03),
    "TranslateY_Only_BBoxes": _moving_patch(ops.shift_y, 12.0),
}

# Sub-policies of (operation, probability, level).
_V0: Policy = (
    (("TranslateX_BBox", 0.6, 4), ("Equalize", 0.8, 10)),
    (("TranslateY_Only_BBoxes", 0.2, 2), ("Cutout", 0.8, 8)),
    (("Sharpness", 0.0, 8), ("ShearX_BBox", 0.4, 0)),
    (("ShearY_BBox", 1.0, 2), ("TranslateY_Only_BBoxes", 0.6, 6)),
    (("Rotate_BBox", 0.6, 10), ("Color", 1.0, 6)),
)
_V1: Policy = (
    *_V0,
    (("Color", 0.0, 0), ("ShearX_Only_BBoxes", 0.8, 4)),
    (("ShearY_Only_BBoxes", 0.8, 2), ("Flip_Only_BBoxes", 0.0, 10)),
    (("Equalize", 0.6, 10), ("TranslateX_BBox", 0.2, 2)),
    (("Color", 1.0, 10), ("TranslateY_Only_BBoxes", 0.4, 6)),
    (("Rotate_BBox", 0.8, 10), ("Contrast", 0.0, 10)),
    (("Cutout", 0.2, 2), ("Brightness", 0.8, 10)),
    (("Color", 1.0, 6), ("Equalize", 1.0, 2)),
    (("Cutout_Only_BBoxes", 0.4, 6), ("TranslateY_Only_BBoxes", 0.8, 2)),
    (("Color", 0.2, 8), ("Rotate_BBox", 0.8, 10)),
    (("Sharpness", 0.4, 4), ("TranslateY_Only_BBoxes", 0.0, 4)),
    (("Sharpness", 1.0, 4), ("SolarizeAdd", 0.4, 4)),
    (("Rotate_BBox", 1.0, 8), ("Sharpness", 0.2, 8)),
    (("ShearY_BBox", 0.6, 10), ("Equalize_Only_BBoxes", 0.6, 8)),
    (("ShearX_BBox", 0.2, 6), ("TranslateY_Only_BBoxes", 0.2, 10)),
    (("SolarizeAdd", 0.6, 8), ("Brightness", 0.8, 10)),
)
_V2: Policy = (
    (("Color", 0.0, 6), ("Cutout", 0.6, 8), ("Sharpness", 0.4, 8)),
    (("Rotate_BBox", 0.4, 8), ("Sharpness", 0.4, 2), ("Rotate_BBox", 0.8, 10)),
    (("TranslateY_BBox", 1.0, 8), ("AutoContrast", 0.8, 2)),
    (("AutoContrast", 0.4, 6), ("ShearX_BBox", 0.8, 8), ("Brightness", 0.0, 10)),
    (("SolarizeAdd", 0.2, 6), ("Contrast", 0.0, 10), ("AutoContrast", 0.6, 0)),
    (("Cutout", 0.2, 0), ("Solarize", 0.8, 8), ("Color", 1.0, 4)),
    (("TranslateY_BBox", 0.0, 4), ("Equalize", 0.6, 8), ("Solarize", 0.0, 10)),
    (("TranslateY_BBox", 0.2, 2), ("ShearY_BBox", 0.8, 8), ("Rotate_BBox", 0.8, 8)),
    (("Cutout", 0.8, 8), ("Brightness", 0.8, 8), ("Cutout", 0.2, 2)),
    (("Color", 0.8, 4), ("TranslateY_BBox", 1.0, 6), ("Rotate_BBox", 0.6, 6)),
    (("Rotate_BBox", 0.6, 10), ("BBox_Cutout", 1.0, 4), ("Cutout", 0.2, 8)),
    (("Rotate_BBox", 0.0, 0), ("Equalize", 0.6, 6), ("ShearY_BBox", 0.6, 8)),
    (("Brightness", 0.8, 8), ("AutoContrast", 0.4, 2), ("Brightness", 0.2, 2)),
    (("TranslateY_BBox", 0.4, 8), ("Solarize", 0.4, 6), ("SolarizeAdd", 0.2, 10)),
    (("Contrast", 1.0, 10), ("SolarizeAdd", 0.2, 8), ("Equalize", 0.2, 4)),
)
_V3: Policy = (
    (("Posterize", 0.8, 2), ("TranslateX_BBox", 1.0, 8)),
    (("BBox_Cutout", 0.2, 10), ("Sharpness", 1.0, 8)),
    (("Rotate_BBox", 0.6, 8), ("Rotate_BBox", 0.8, 10)),
    (("Equalize", 0.8, 10), ("AutoContrast", 0.2, 10)),
    (("SolarizeAdd", 0.2, 2), ("TranslateY_BBox", 0.2, 8)),
    (("Sharpness", 0.0, 2), ("Color", 0.4, 8)),
    (("Equalize", 1.0, 8), ("TranslateY_BBox", 1.0, 8)),
    (("Posterize", 0.6, 2), ("Rotate_BBox", 0.0, 10)),
    (("AutoContrast", 0.6, 0), ("Rotate_BBox", 1.0, 6)),
    (("Equalize", 0.0, 4), ("Cutout", 0.8, 10)),
    (("Brightness", 1.0, 2), ("TranslateY_BBox", 1.0, 6)),
    (("Contrast", 0.0, 2), ("ShearY_BBox", 0.8, 0)),
    (("AutoContrast", 0.8, 10), ("Contrast", 0.2, 10)),
    (("Rotate_BBox", 1.0, 10), ("Cutout", 1.0, 10)),
    (("SolarizeAdd", 0.8, 6), ("Equalize", 0.8, 8)),
)
_RANDAUG = """
    Equalize Solarize Color Cutout SolarizeAdd
    TranslateX_BBox TranslateY_BBox ShearX_BBox ShearY_BBox Rotate_BBox
"""

POLICIES: dict[str, Policy] = {
    "v0": _V0,
    "v1": _V1,
    "v2": _V2,
    "v3": _V3,
    "test": ((("TranslateX_BBox", 1.0, 4), ("Equalize", 1.0, 10)),),
    # RandAugment with one layer of magnitude 15: one operation out of ten, always.
    "randaug": tuple(((name, 1.0, 15),) for name in _RANDAUG.split()),
}
