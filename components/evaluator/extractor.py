"""Inference for TensorFlow Model Analysis: the very files of a bundle, run on the examples' image bytes.

TFX's Evaluator finds `custom_extractors` here by name. TFMA's own prediction extractor cannot run two
files of one model, and hands a whole batch of up to a thousand images to the SavedModel at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.evaluator.detectors import detectors
from efficientdet.boxes import yxyx_to_xywh
from efficientdet.coco_metric import Groundtruth
from efficientdet.data.example import parse_example

CHUNK = 8
"""Images per call of the SavedModel; the same in every run, while TFX's batches depend on the time they take."""


def custom_extractors(
    eval_shared_model: tfma.types.MaybeMultipleEvalSharedModels,
    eval_config: tfma.EvalConfig,
    tensor_adapter_config: Any = None,
) -> list[tfma.extractors.Extractor]:
    """The extractors that replace TFMA's own; each model's bundle is the folder above its SavedModel."""
    several = isinstance(eval_shared_model, list)
    models = eval_shared_model if several else [eval_shared_model]
    # TFMA calls a lone model "", whatever its spec says
    bundles = {model.model_name if several else "": str(Path(model.model_path).parent) for model in models}
    chunks = beam.FlatMap(_serialised) | beam.BatchElements(CHUNK, CHUNK)
    detect = tfma.extractors.Extractor("DetectObjects", chunks | beam.ParDo(_Detect(bundles)))
    return [detect, tfma.extractors.SliceKeyExtractor(eval_config=eval_config, materialize=False)]


def _serialised(extracts: Mapping[str, Any]) -> list[bytes]:
    """The examples of a batch as TFXIO read it."""
    batch = extracts[tfma.constants.ARROW_RECORD_BATCH_KEY]
    column = batch.column(batch.schema.get_field_index(tfma.ARROW_INPUT_COLUMN))
    return column.flatten().to_pylist()


class _Detect(beam.DoFn):
    """From a few serialised examples to one extract per image: groundtruth, and what each model finds.

    The predictions are `{model name: {variant: (boxes, scores, classes)}}`.
    """

    def __init__(self, bundles: Mapping[str, str]) -> None:
        self._bundles = bundles

    def process(self, serialised: list[bytes]) -> Iterator[dict[str, Any]]:
        examples = [_parse(example) for example in serialised]
        images = [example["image_bytes"].numpy() for example in examples]
        found = {name: detectors(bundle)(images) for name, bundle in self._bundles.items()}
        for i, example in enumerate(examples):
            yield {
                tfma.FEATURES_KEY: {"image/source_id": example["source_id"].numpy().decode()},
                tfma.LABELS_KEY: _groundtruth(example),
                tfma.PREDICTIONS_KEY: {name: per_image[i] for name, per_image in found.items()},
            }


_parse = tf.function(parse_example, input_signature=[tf.TensorSpec([], tf.string)])


def _groundtruth(example: Mapping[str, tf.Tensor]) -> Groundtruth:
    boxes = example["boxes"].numpy().astype(np.float64)
    crowd, area = example["is_crowd"].numpy(), example["area"].numpy()
    return Groundtruth(yxyx_to_xywh(boxes), example["classes"].numpy(), crowd, area)
