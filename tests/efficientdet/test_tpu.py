"""What a TPU asks for, as far as a machine without one can tell: static shapes, and every op known to XLA.

The tested part ends with XLA's program for the step: no TPU compiles or runs it here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from efficientdet.anchors import Targets, anchors_for
from efficientdet.config import Config
from efficientdet.data.input_pipeline import training_batches
from efficientdet.determinism import deterministic, wants_determinism
from efficientdet.trainer import Trainer

# Ops that run on the host only, or whose shapes depend on values, by the list of ops that Cloud TPU supports
# (cloud.google.com/tpu/docs/tensorflow-ops).
HOST_OPS = {"Where", "Unique", "NonMaxSuppressionV5", "EagerPyFunc", "PyFunc", "StringFormat", "PrintV2", "DecodeJpeg"}
HOST_OPS |= {"ResizeNearestNeighborGrad", "RandomShuffle", "MaxPoolWithArgmax", "FusedBatchNorm", "DynamicPartition"}


def config_of(name: str) -> Config:
    return Config().override(
        f"model.name={name},model.backbone_weights=null,training.batch_size=2,training.precision=bfloat16"
    )


@pytest.mark.parametrize("name", ["efficientdet-lite0", "efficientdet-d0", "efficientdet-d7x"])
def test_batches_have_static_shapes(digit_shards: Path, name: str):
    config = config_of(name)
    batches = training_batches(str(digit_shards / "Split-train/*"), config, anchors_for(config), 0)
    for spec in tf.nest.flatten(batches.element_spec):
        assert spec.shape.is_fully_defined()
        assert spec.shape[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientdet-lite0", "efficientdet-d0", "efficientdet-d7x"])
def test_the_step_becomes_an_xla_program(digit_shards: Path, name: str):
    config = config_of(name)
    batches = training_batches(str(digit_shards / "Split-train/*"), config, anchors_for(config), 0)
    trainer = Trainer(config, 90, 10)
    specs = tf.nest.flatten(batches.element_spec)

    @tf.function(jit_compile=True)
    def step(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        images, targets = tf.nest.pack_sequence_as(batches.element_spec, list(tensors))
        return trainer.replica_step(images, Targets(*targets))

    graph = step.get_concrete_function(*specs).graph
    operations = [op for graph in (graph, *_inner(graph)) for op in graph.get_operations()]
    assert not {op.type for op in operations} & HOST_OPS
    assert {op.type for op in operations} >= {"Conv2DBackpropFilter", "DepthwiseConv2dNativeBackpropFilter"}
    outputs = [output for op in operations for output in op.outputs if output.dtype != tf.resource]
    unknown = {output.op.type for output in outputs if not output.shape.is_fully_defined()}
    # What the normalisation keeps for its gradient on a GPU is empty elsewhere.
    assert unknown <= {"FusedBatchNormV3", "FusedBatchNormGradV3", "ZerosLike"}
    with deterministic(wants_determinism(config.override("training.strategy=tpu").training)):
        program = step.experimental_get_compiler_ir(*specs)(stage="hlo")
    assert "convolution" in program
    assert "bf16[2," in program
    assert "<=" not in program.partition("\n")[0], "a bounded dynamic shape"


def _inner(graph: tf.Graph) -> list[tf.Graph]:
    return [function.graph for function in graph._functions.values() if hasattr(function, "graph")]
