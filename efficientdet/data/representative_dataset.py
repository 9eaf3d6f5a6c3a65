"""The images that int8 is calibrated with: chosen by a rule, so that the same examples give the same file."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.config import Config
from efficientdet.data.input_pipeline import fitted_image, read_examples

RULE = (
    "the class that the fewest chosen images show gives its next image, images being ordered by the sha256 of seed and "
    "bytes; images without objects count as a class"
)
NO_OBJECT = 0
"""Stands for the class of images without objects."""

Digest = bytes
"""sha256 of an encoded image."""


@dataclass(frozen=True)
class RepresentativeDataset:
    """Images of examples in which every class is seen about equally often; iterable as often as one likes.

    How the examples are sharded and ordered makes no difference, copies of an image are one. They are read when
    something is asked for, once to choose and once for each iteration. That yields `[H, W, 3]` uint8, letterboxed to
    the input of `config`'s network, in the order of `digests`.

    Attributes:
      pattern: file patterns of the shards.
      config: of the detector; `export.calibration_images` are chosen, or all there are, by `export.calibration_seed`.
    """

    pattern: str | Sequence[str]
    config: Config

    @cached_property
    def _chosen(self) -> dict[Digest, frozenset[int]]:
        """By digest their classes."""
        count = self.config.export.calibration_images
        return _balanced(_candidates(self.pattern, self.config.export.calibration_seed, count), count)

    @property
    def digests(self) -> tuple[str, ...]:
        """Of each chosen image's bytes the sha256, in hexadecimal digits, sorted."""
        return tuple(sorted(digest.hex() for digest in self._chosen))

    @property
    def images_per_class(self) -> dict[int, int]:
        """How many of them show a class, by its id; `NO_OBJECT` those that show none."""
        shown = Counter(label for classes in self._chosen.values() for label in classes)
        return dict(sorted(shown.items()))

    def __len__(self) -> int:
        return len(self.digests)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        wanted, encoded = set(self.digests), {}
        for example in read_examples(self.pattern).prefetch(1).as_numpy_iterator():
            digest = hashlib.sha256(example["image_bytes"]).hexdigest()
            if digest in wanted:
                encoded[digest] = example["image_bytes"]
        for digest in self.digests:
            yield np.asarray(fitted_image(tf.constant(encoded[digest]), self.config))

    @property
    def sha256(self) -> str:
        """Of the digests, one a line: the same for the same images."""
        return hashlib.sha256("".join(f"{digest}\n" for digest in self.digests).encode()).hexdigest()

    @property
    def facts(self) -> dict[str, Any]:
        """Rule, seed, count and hash, ready for JSON."""
        return {
            "rule": RULE,
            "seed": self.config.export.calibration_seed,
            "images": len(self),
            "images_per_class": {str(label): count for label, count in self.images_per_class.items()},
            "sha256": self.sha256,
        }


Candidates = dict[int, list[tuple[Digest, frozenset[int]]]]
"""By class, in their order: an image and all its classes."""


def _candidates(pattern: str | Sequence[str], seed: int, count: int) -> Candidates:
    """The first `count` images of each class, more of which are never needed."""
    heaps: dict[int, list[tuple[int, Digest, frozenset[int]]]] = {}
    seen: dict[int, set[Digest]] = {}
    records = read_examples(pattern).map(lambda example: (example["image_bytes"], example["classes"]))
    for encoded, labels in records.prefetch(1).as_numpy_iterator():
        digest = hashlib.sha256(encoded).digest()
        key = int.from_bytes(hashlib.sha256(seed.to_bytes(8, "big", signed=True) + digest).digest())
        classes = frozenset(labels.tolist()) or frozenset({NO_OBJECT})
        for label in classes:
            heap, known = heaps.setdefault(label, []), seen.setdefault(label, set())
            if digest in known:
                continue
            known.add(digest)
            heapq.heappush(heap, (-key, digest, classes))  # the last of them is on top
            if len(heap) > count:
                known.remove(heapq.heappop(heap)[1])
    ordered = {label: sorted(heap, reverse=True) for label, heap in heaps.items()}
    return {label: [(digest, classes) for _, digest, classes in heap] for label, heap in ordered.items()}


def _balanced(candidates: Candidates, count: int) -> dict[Digest, frozenset[int]]:
    """Up to `count` images with their classes; equally rare classes take turns by their ids."""
    chosen: dict[Digest, frozenset[int]] = {}
    shown = Counter(dict.fromkeys(candidates, 0))
    queues = {label: iter(queue) for label, queue in candidates.items()}
    while queues and len(chosen) < count:
        rarest = min(queues, key=lambda label: (shown[label], label))
        following = next((image for image in queues[rarest] if image[0] not in chosen), None)
        if following is None:
            del queues[rarest]
            continue
        chosen[following[0]] = following[1]
        shown.update(following[1])
    return chosen
