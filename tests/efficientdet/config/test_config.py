"""The whole config: what it saves it reads back, and google/automl's files and strings say the same as ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.class_names import KNOWN
from efficientdet.config import Config
from efficientdet.errors import ConfigError
from efficientdet.settings import Settings

# `voc_config.yaml` of google/automl's README, section on finetuning, with the label map complete.
VOC_CONFIG = """
num_classes: 21
var_freeze_expr: '(efficientnet|fpn_cells|resample_p6)'
label_map: {1: aeroplane, 2: bicycle, 3: bird, 4: boat, 5: bottle, 6: bus, 7: car, 8: cat, 9: chair, 10: cow,
  11: diningtable, 12: dog, 13: horse, 14: motorbike, 15: person, 16: pottedplant, 17: sheep, 18: sofa, 19: train,
  20: tvmonitor}
"""

POSITIVE = st.floats(0.1, 10)
LABEL_MAPS = st.dictionaries(st.integers(1, 90), st.text(min_size=1, max_size=8), min_size=1, max_size=4)
CONFIGS = st.fixed_dictionaries(
    {
        "model": st.fixed_dictionaries(
            {
                "image_size": st.tuples(st.integers(32, 2048), st.integers(32, 2048)).map(list),
                "aspect_ratios": st.lists(POSITIVE | st.tuples(POSITIVE, POSITIVE).map(list), min_size=1, max_size=4),
                "anchor_scale": POSITIVE | st.lists(POSITIVE, min_size=5, max_size=5) | st.none(),
                "mean": POSITIVE | st.lists(POSITIVE, min_size=3, max_size=3) | st.none(),
                "weights_classes": LABEL_MAPS | st.sampled_from(["coco", "1.yaml", "null", "3", " a: b"]) | st.none(),
            }
        ),
        "data": st.fixed_dictionaries({"label_map": LABEL_MAPS | st.sampled_from(["voc", "~", "no"]) | st.none()}),
        "training": st.fixed_dictionaries(
            {"drop_epochs": st.tuples(POSITIVE, POSITIVE).map(sorted), "freeze": st.sampled_from([None, "a.*: b", "#"])}
        ),
    }
)


@settings(deadline=None, max_examples=50)
@given(CONFIGS)
def test_yaml_json_and_back(values: dict):
    config = Config.parse(values)
    assert Config.parse(yaml.safe_load(config.to_yaml())) == config
    assert Config.parse(json.loads(json.dumps(config.to_dict()))) == config
    assert config.override({}) == config


def test_a_saved_config_loads_as_it_was(tmp_path: Path):
    config = Config().override(
        "model.name=efficientdet-d2(640),model.min_level=3,model.max_level=4,"
        "model.fpn_nodes=[{level: 3, inputs: [0, 1]}, {level: 4, inputs: [1, 2]}],"
        "nms.method=gaussian,data.label_map={1: cat, 7: dog},compat=true"
    )
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert Config.load(path) == config
    assert config.model.fpn_nodes[1].inputs == (1, 2)


def _fields(group: type[Settings], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, field in group.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        groups = [kind for kind in kinds if issubclass(kind, Settings)]
        if not groups:
            yield prefix + name, field
        for kind in groups:
            yield from _fields(kind, f"{prefix}{name}.")


def test_every_setting_is_documented():
    fields = dict(_fields(Config))
    assert len(fields) > 70
    assert [name for name, field in fields.items() if not field.description] == []


def test_the_finetuning_config_of_the_reference(tmp_path: Path):
    path = tmp_path / "voc_config.yaml"
    path.write_text(VOC_CONFIG)
    config = Config.load(path, ["model_name=efficientdet-d0"])
    assert config.model.name == "efficientdet-d0"
    assert config.data.num_classes == 21
    assert config.data.label_map == dict(enumerate(KNOWN["voc"], start=1))
    assert config.training.freeze == "(efficientnet|fpn_cells|resample_p6)"
    path.write_text(config.to_yaml())
    assert Config.load(path) == config


def test_google_names_in_every_form_agree(tmp_path: Path):
    values = {
        "image_size": "640x320",
        "num_classes": 3,
        "aspect_ratios": [1.0, 2.0, 0.5],
        "mean_rgb": [1.0, 2.0, 3.0],
        "var_freeze_expr": "(efficientnet|fpn_cells)",
        "nms_configs": {"method": "gaussian", "max_output_size": 7},
        "fpn_weight_method": "sum",
        "compat": True,
    }
    text = (
        "image_size=640x320,num_classes=3,aspect_ratios=1.0*2.0*0.5,mean_rgb=1.0*2.0*3.0,"
        "var_freeze_expr=(efficientnet|fpn_cells),nms_configs.method=gaussian,nms_configs.max_output_size=7,"
        "fpn_weight_method=sum,compat=True"
    )
    path = tmp_path / "google.yaml"
    path.write_text(yaml.safe_dump(values))
    config = Config.parse(values)
    assert Config().override(values) == config
    assert Config().override(text) == config
    assert Config().override(text.split(",")) == config
    assert Config.load(path) == config
    assert config.model.input_size == (320, 640)
    assert config.model.mean == (1.0, 2.0, 3.0)
    assert (config.nms.method, config.nms.max_detections) == ("gaussian", 7)
    assert config.compat


def test_unknown_settings_suggest_names_of_both_kinds():
    for wrong, near in [
        ({"num_clases": 3}, "num_classes"),
        ({"var_freeze_exp": "x"}, "var_freeze_expr or training.freeze"),
        ({"model": {"num_classes": 3}}, "data.num_classes"),
        ({"nms": {"iou_thresh": 0.3}}, "nms.iou_threshold"),
        ({"nms_config": {"iou_thresh": 0.3}}, "nms_configs.method"),
    ]:
        with pytest.raises(ConfigError, match=f"there is no such setting; did you mean .*{near}"):
            Config.parse(wrong)
