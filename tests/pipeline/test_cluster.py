"""What may be asked of a cluster, and the sentences for what may not."""

from __future__ import annotations

from typing import Any

import pytest

from efficientdet.errors import ConfigError
from pipeline.cluster import ClusterConfig, check_nodes


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"resources": {"Trainer": {"gpus": 1, "tpu": {}}}}, "gpus and tpu are both asked for"),
        ({"resources": {"Trainer": {"tpu": {"topology": "4x4"}}}}, "16 chips are on several hosts"),
        ({"resources": {"Trainer": {"tpu": {"generation": "v4", "topology": "2x4"}}}}, "v4 has up to 4"),
        ({"resources": {"Trainer": {"tpu": {"topology": "four"}}}}, "is no topology; give chips as 2x4"),
        ({"resources": {"Pusher": {"workers": 2}}}, "workers and machine_type are for the Trainer"),
        ({"resources": {"Trainer": {"gpu_type": "NVIDIA_L4"}}}, "gpu_type='NVIDIA_L4'"),
        ({"resources": {"Trainer": {"gpu": 1}}}, "did you mean"),
        ({"resources": {"Trainer": {"cpu": 0}}}, "cpu=0"),
        ({"secrets": [{"name": "mlflow"}]}, "appears nowhere; give it variables or a mount_path"),
        ({"secrets": [{"name": "mlflow", "variables": {"a": "1A"}}]}, "1A"),
        ({"report_to": "ftp://host"}, "report_to='ftp://host'"),
        ({"report_to": "relative.json"}, "report_to='relative.json'"),
        ({"retries": -1}, "retries=-1"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], says: str):
    with pytest.raises(ConfigError) as caught:
        ClusterConfig.parse(values)
    assert says in str(caught.value)


def test_an_address_with_white_space_is_refused_unseen():
    for address in ("https://hooks.example.org/secret path", "https://hooks.example.org/secret\n"):
        with pytest.raises(ConfigError, match=r"cluster.report_to has white space") as caught:
            ClusterConfig.parse({"report_to": address})
        assert "secret" not in str(caught.value)


def test_a_node_has_its_own_retries_or_the_clusters():
    cluster = ClusterConfig.parse({"retries": 3, "resources": {"Trainer": {"retries": 0}, "Pusher": {"cpu": 1}}})
    assert [cluster.retries_of(node) for node in ("Trainer", "Pusher", "Evaluator")] == [0, 3, 3]


def test_an_unknown_node_is_refused_with_the_nearest():
    cluster = ClusterConfig.parse({"resources": {"Evaluater": {"cpu": 1}}})
    with pytest.raises(ConfigError, match=r"no such node; did you mean Evaluator\? the nodes are Trainer, Evaluator$"):
        check_nodes(cluster, ["Trainer", "Evaluator"])
    check_nodes(cluster, ["Evaluater"])
