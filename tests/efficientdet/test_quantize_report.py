"""The report names the layer that a network loses in, and what keeping it in float gains."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from efficientdet.calibrated_network import CalibratedNetwork
from efficientdet.cli_quantize_report import _print
from efficientdet.quantize_report import LayerError, QuantizeReport, quantize_report

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> CalibratedNetwork:
    """Two convolutions, of which the depthwise one's channels differ so much that 8 bits cannot hold the small ones."""
    rng = np.random.default_rng(1)
    first = tf.constant(rng.normal(size=(1, 1, 3, 8)), tf.float32)
    wide = tf.constant(rng.normal(size=(3, 3, 8, 1)) * np.logspace(0, 4, 8)[:, None], tf.float32)
    narrow = tf.constant(rng.normal(size=(1, 1, 8, 4)) / np.logspace(0, 4, 8)[:, None], tf.float32)

    class Network(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
        def run(self, images):
            hidden = tf.nn.relu6(tf.nn.conv2d((images - 127.0) / 128.0, first, 1, "SAME"))
            spread = tf.nn.depthwise_conv2d(hidden, wide, [1, 1, 1, 1], "SAME")
            return {"out": tf.nn.conv2d(spread, narrow, 1, "SAME")}

    folder, module = tmp_path_factory.mktemp("network"), Network()
    tf.saved_model.save(module, str(folder), signatures={"run": module.run})
    return CalibratedNetwork(folder, "run", IMAGES)


@pytest.fixture(scope="module")
def report(network: CalibratedNetwork) -> QuantizeReport:
    return quantize_report(network, IMAGES)


def test_every_layer_has_an_error_and_the_worst_is_first(network: CalibratedNetwork, report: QuantizeReport):
    assert {error.layer for error in report.layers} == set(network.layers)
    assert [error.noise for error in report.layers] == sorted((e.noise for e in report.layers), reverse=True)
    convolutions = [error for error in report.layers if "conv" in error.layer or "depthwise" in error.layer]
    assert len(convolutions) == 3
    assert all(error.steps > 0 and error.scale > 0 for error in convolutions)
    assert report.layers[0].layer == report.suspects[0] == "conv#2", "whose weights undo the spread"
    assert report.images == len(IMAGES)
    assert [error.output for error in report.outputs] == ["out"]
    assert json.loads(json.dumps(report.to_dict()))["layers"][0]["layer"] == report.layers[0].layer


def test_a_layer_in_float_mends_what_it_lost(network: CalibratedNetwork, report: QuantizeReport):
    assert report.outputs[0].noise > 0.05, "the small channels are gone"
    mended = quantize_report(network, IMAGES, ["*depthwise*", report.suspects[0]])
    assert mended.float_layers == ("*depthwise*", "conv#2")
    assert not {"depthwise", "conv#2"} & {error.layer for error in mended.layers}
    assert mended.outputs[0].noise < 0.1 * report.outputs[0].noise
    assert mended.outputs[0].rmse < 0.5 * report.outputs[0].rmse


def test_all_in_float_is_exact(network: CalibratedNetwork):
    everything = quantize_report(network, IMAGES[:1], ["*conv*", "*depthwise*"])
    assert everything.outputs[0].noise < 1e-6


def test_the_next_try_keeps_what_this_one_kept():
    layers = [LayerError(f"layer{i}", noise, 1.0, 1.0) for i, noise in enumerate([0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 1e-5])]
    tried = QuantizeReport(layers, [], 3, ("box_net/*", "stem*"))
    assert tried.patterns_to_try == ("box_net/*", "stem*", *[f"layer{i}" for i in range(5)])


def test_the_advice_keeps_what_was_kept(capsys: pytest.CaptureFixture[str]):
    _print(QuantizeReport([LayerError("stem/conv", 0.5, 1.0, 1.0)], [], 3, ("box_net/*",)), 15)
    assert "1 layers add 0.1% of noise or more; try --float-layers 'box_net/*' --float-layers 'stem/conv'" in (
        capsys.readouterr().out
    )
