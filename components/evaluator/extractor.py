"""Inference for TensorFlow Model Analysis: the very files of a bundle, run on the examples' image bytes.

TFX's Evaluator finds `custom_extractors` here by name, ours as the stock one with any EvalConfig. TFMA's own prediction
extractor cannot run several files of one model, and hands a whole batch of up to a thousand images to the SavedModel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from numpy.typing import NDArray
from tensorflow_model_analysis.extractors.sql_slice_key_extractor import SqlSliceKeyExtractor

from components.evaluator.detectors import Answers, detectors, manifest_sha256
from components.evaluator.example import BAD_INPUT, Example, Unscored, read_example, undecodable
from components.evaluator.record import WriteScoredImages, WriteThroughput, WriteUnscored, recorded_into
from efficientdet.scored_image import CHAMPION_PREFIX, Found

SCORED_IMAGE_KEY = "scored_image"
"""Where an extract holds its ScoredImage."""
CHUNK = 64
"""Images per call of the detectors, enough to keep many cores busy."""

_IMAGES, _TIMINGS, _UNSCORED = "images", "timings", "unscored"
_Record = tuple[bytes, NDArray[np.object_] | None]


def custom_extractors(
    eval_shared_model: tfma.types.MaybeMultipleEvalSharedModels,
    eval_config: tfma.EvalConfig,
    tensor_adapter_config: Any = None,
) -> list[tfma.extractors.Extractor]:
    """The extractors that replace TFMA's own; each model's bundle is the folder above its SavedModel."""
    extractors = []
    if any(spec.slice_keys_sql for spec in eval_config.slicing_specs):
        extractors += [tfma.extractors.FeaturesExtractor(eval_config), SqlSliceKeyExtractor(eval_config)]
    detect = DetectObjects(_models(eval_shared_model), recorded_into())
    extractors.append(tfma.extractors.Extractor("DetectObjects", detect))
    return [*extractors, tfma.extractors.SliceKeyExtractor(eval_config=eval_config, materialize=False)]


class Model(NamedTuple):
    """A bundle that is judged: TFMA's name of it, its folder, the digest of its manifest, and what stands before the
    variant where a ScoredImage names its files.
    """

    name: str
    bundle: str
    manifest: str
    prefix: str


def _models(shared: tfma.types.MaybeMultipleEvalSharedModels) -> list[Model]:
    """The first that is no baseline is the candidate, whose variants go by their bare names."""
    several = isinstance(shared, list)
    models = shared if several else [shared]
    candidate = next((model for model in models if not model.is_baseline), None)
    found = []
    for model in models:
        bundle = str(Path(model.model_path).parent)
        prefix = CHAMPION_PREFIX if model.is_baseline else "" if model is candidate else f"{model.model_name}/"
        # TFMA calls a lone model "", whatever its spec says
        found.append(Model(model.model_name if several else "", bundle, manifest_sha256(bundle), prefix))
    return found


class DetectObjects(beam.PTransform):
    """From batches of examples, as TFMA reads them, to one extract per image that could be scored.

    An extract holds the example's features without the picture, as labels the Groundtruth, as predictions
    `{model name: {variant: Found}}`, and all of it once more as a ScoredImage. With `record`, a folder, the record of
    the evaluation is written there.
    """

    def __init__(self, models: Sequence[Model], record: str | None = None) -> None:
        super().__init__()
        self._models, self._record = models, record

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        detect = beam.ParDo(_Detect(self._models)).with_outputs(_TIMINGS, _UNSCORED, main=_IMAGES)
        found = batches | beam.FlatMap(_unbatched) | beam.BatchElements(CHUNK, CHUNK) | detect
        if self._record:
            scored = found[_IMAGES] | beam.Map(lambda extracts: extracts[SCORED_IMAGE_KEY])
            _ = scored | WriteScoredImages(self._record)
            _ = found[_TIMINGS] | WriteThroughput(self._record)
            _ = found[_UNSCORED] | WriteUnscored(self._record)
        return found[_IMAGES]


def _unbatched(extracts: Mapping[str, Any]) -> list[_Record]:
    """The records of a batch, with the slices that SQL has found for them."""
    if tfma.constants.ARROW_RECORD_BATCH_KEY in extracts:
        batch = extracts[tfma.constants.ARROW_RECORD_BATCH_KEY]
        column = batch.column(batch.schema.get_field_index(tfma.ARROW_INPUT_COLUMN))
        return [(record, None) for record in column.flatten().to_pylist()]
    return list(zip(extracts[tfma.INPUT_KEY], extracts[tfma.SLICE_KEY_TYPES_KEY].dense_rows(), strict=True))


class _Detect(beam.DoFn):
    """Runs all files of all models on a few examples; what cannot be read is named, and ends nothing."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models

    def setup(self) -> None:
        for model in self._models:
            detectors(model.bundle, model.manifest)

    def process(self, chunk: list[_Record]) -> Iterator[Any]:
        examples, unscored = _parted(read_example(*record) for record in chunk)
        try:
            answers = self._answers(examples)
        except BAD_INPUT:  # one bad picture spoils a whole batch, so they are told apart only now
            examples, bad = _parted(undecodable(example) or example for example in examples)
            if not bad:
                raise
            unscored, answers = unscored + bad, self._answers(examples)
        yield from (beam.pvalue.TaggedOutput(_UNSCORED, tuple(entry)) for entry in unscored)
        for model in self._models if examples else ():
            for variant, (_, seconds) in answers[model].items():
                yield beam.pvalue.TaggedOutput(_TIMINGS, (model.prefix + variant, (len(examples), seconds)))
        for i, example in enumerate(examples):
            found = {model: {name: file.found[i] for name, file in answers[model].items()} for model in self._models}
            yield _extracts(example, found)

    def _answers(self, examples: Sequence[Example]) -> dict[Model, dict[str, Answers]]:
        pictures = [example.picture for example in examples]
        return {model: detectors(model.bundle, model.manifest)(pictures) for model in self._models}


def _parted(read: Iterable[Example | Unscored]) -> tuple[list[Example], list[Unscored]]:
    everything = list(read)
    examples = [each for each in everything if isinstance(each, Example)]
    return examples, [each for each in everything if isinstance(each, Unscored)]


def _extracts(example: Example, found: Mapping[Model, Mapping[str, Found]]) -> dict[str, Any]:
    by_contender = {model.prefix + name: each for model, files in found.items() for name, each in files.items()}
    known = {} if example.slices is None else {tfma.SLICE_KEY_TYPES_KEY: example.slices}
    return {
        **known,
        tfma.FEATURES_KEY: example.features,
        tfma.LABELS_KEY: example.image.truth,
        tfma.PREDICTIONS_KEY: {model.name: files for model, files in found.items()},
        SCORED_IMAGE_KEY: replace(example.image, found=by_contender),
    }
