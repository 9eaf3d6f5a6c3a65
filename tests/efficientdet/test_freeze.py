"""What an expression freezes, and that it is never nothing or everything unsaid."""

from __future__ import annotations

import keras
import pytest

from efficientdet.config import Config
from efficientdet.errors import ConfigError
from efficientdet.freeze import unfrozen
from efficientdet.model.detector import build_detector, reference_name


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build_detector(
        Config().override("model.image_size=64,model.fpn_filters=16,model.fpn_repeats=1,model.head_repeats=1"), 2
    )


def names(variables) -> set[str]:
    return {reference_name(v) for v in variables}


@pytest.mark.parametrize("expression", [None, ""])
def test_without_an_expression_all_train(model: keras.Model, expression: str | None):
    assert names(unfrozen(model, expression)) == names(model.trainable_variables)


def test_names_are_matched_from_their_start(model: keras.Model):
    kept = names(unfrozen(model, "(efficientnet|fpn_cells|resample_p6)"))
    assert {name.split("/")[0] for name in kept} == {"class_net", "box_net"}
    assert not [n for n in names(unfrozen(model, ".*depthwise_kernel")) if n.endswith("depthwise_kernel")]


def test_names_may_end_as_tensorflow_ends_them(model: keras.Model):
    assert names(unfrozen(model, ".*/gamma:0$")) == names(unfrozen(model, ".*/gamma$"))


@pytest.mark.parametrize(("expression", "what"), [("resnet", "nothing"), (".", "everything")])
def test_nothing_and_everything_are_refused(model: keras.Model, expression: str, what: str):
    with pytest.raises(ConfigError, match=f"matches {what}; names look like efficientnet"):
        unfrozen(model, expression)
