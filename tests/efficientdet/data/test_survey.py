"""What a split holds, counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from efficientdet.data.input_pipeline import read_examples
from efficientdet.data.survey import Survey, survey
from efficientdet.errors import DataError


def test_counts_are_those_of_the_examples(digit_shards: Path):
    pattern = str(digit_shards / "Split-*/*")
    found = survey(pattern)
    classes = [example["classes"] for example in read_examples(pattern).as_numpy_iterator()]
    assert found.images == 16
    assert found.empty == sum(len(each) == 0 for each in classes)
    assert found.most == max(map(len, classes))
    assert found.boxes == Counter(np.concatenate(classes).tolist())


def test_crowds_are_not_counted(write_shard):
    assert survey(write_shard([([1, 2], [True, False]), ([3], [True]), ([], [])])) == Survey(3, 2, {2: 1}, 1)


def test_no_shard_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="no example shards match"):
        survey(str(tmp_path / "*"))
