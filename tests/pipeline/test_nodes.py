"""Names told without TFX are those of the pipeline that TFX gets."""

from __future__ import annotations

import pytest

from pipeline.nodes import EXAMPLE_GENS, SCHEMA_GENS, node_names
from pipeline.pipeline import create_pipeline


@pytest.mark.parametrize("form", EXAMPLE_GENS)
def test_the_names_are_the_nodes(config, form):
    own = {"coco": {"images": {"train": "a", "eval": "b"}}, "csv": {"annotations": "all.csv"}}.get(form, {})
    assert_same(config.override({"source": {"format": form, **own}}))


@pytest.mark.parametrize("schema", SCHEMA_GENS)
def test_the_names_follow_the_settings(config, schema):
    assert_same(config.override({"schema_source": schema, "tuning": {"trials": 2}}))


def assert_same(config):
    nodes = create_pipeline(config, config.root, "data", "").components
    assert sorted(node.id for node in nodes) == sorted(node_names(config))
