"""Mixup (arXiv 1710.09412) for detection (1902.04103): two training images in one, both with all of their boxes.

Scenes are those of the network: images `[H, W, 3]` float32 of one size; seeds are int32 `[2]`.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from efficientdet.data.scene import Scene

# Both parameters of the Beta distribution that shares are drawn from (1902.04103): mostly near one half.
BETA = 1.5


def random_mixup(scene: Scene, other: Callable[[], Scene], probability: float, seed: tf.Tensor) -> Scene:
    """`scene` blended at a random share with `other`, which is read only then, with `probability`."""
    when, how = tf.unstack(tf.random.split(seed, 2))
    happens = tf.random.stateless_uniform([], when) < probability
    return tf.cond(happens, lambda: mixup(scene, other(), random_share(how)), lambda: scene)


def random_share(seed: tf.Tensor) -> tf.Tensor:
    """A float32 scalar of 0..1 from Beta(1.5, 1.5)."""
    # Of two draws from a gamma distribution, the first over their sum has a beta distribution.
    draws = tf.random.stateless_gamma([2], seed, alpha=BETA)
    return draws[0] / tf.reduce_sum(draws)


def mixup(scene: Scene, other: Scene, share: tf.Tensor) -> Scene:
    """`share` of the first image and the rest of the other; the first one's boxes, then the other's, all whole."""
    image = other.image + share * (scene.image - other.image)
    boxes, classes = (tf.concat(pair, axis=0) for pair in zip(scene[1:], other[1:], strict=True))
    return Scene(image, boxes, classes)
