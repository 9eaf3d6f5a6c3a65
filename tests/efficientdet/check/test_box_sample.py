from __future__ import annotations

import numpy as np

from efficientdet.check.box_sample import BoxSample


def test_few_boxes_are_all_kept_in_their_order() -> None:
    sample, shapes = BoxSample(10), np.arange(12, dtype=np.float32).reshape(6, 2)
    assert sample.shapes.shape == (0, 2)
    sample.add(shapes[:4])
    sample.add(shapes[4:])
    np.testing.assert_array_equal(sample.shapes, shapes)


def test_of_many_a_fair_part_is_kept_and_the_same_one_again() -> None:
    shapes = np.arange(8000, dtype=np.float32).reshape(-1, 2)
    samples = [BoxSample(400), BoxSample(400)]
    for sample in samples:
        for part in np.split(shapes, 40):
            sample.add(part)
    np.testing.assert_array_equal(samples[0].shapes, samples[1].shapes)
    kept = samples[0].shapes[:, 0]
    assert len(np.unique(kept)) == 400
    # Uniform on 0..8000: the mean of 400 has a standard error of 115.
    assert abs(kept.mean() - 4000) < 460
