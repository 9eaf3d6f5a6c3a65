"""The only wiring: from annotated images to a registered model, the same nodes for every engine."""

from __future__ import annotations

import tensorflow_data_validation as tfdv
from tfx.components import ExampleValidator, SchemaGen, StatisticsGen
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.pipeline import Pipeline
from tfx.types import BaseChannel

import schemas
from components.evaluator import Evaluator
from components.example_gen import CocoExampleGen, VocExampleGen
from components.exporter import Exporter
from components.pusher import Pusher
from components.trainer import detector_trainer
from components.tuner import detector_tuner
from pipeline.config import PipelineConfig, SourceConfig
from pipeline.fingerprint import code_fingerprint, settings_fingerprint, weights_fingerprint


def training_inputs(config: PipelineConfig, data: str) -> str:
    """Hash of all that decides the trained model: data, settings, code, the weights to start from, and the search.

    Equal hashes mean an equal model.
    """
    untuned = _untuned_inputs(config, data)
    return settings_fingerprint(untuned=untuned, tuning=config.tuning.to_dict()) if config.tuning.trials else untuned


def _untuned_inputs(config: PipelineConfig, data: str) -> str:
    """The same with the hyperparameters as they are configured: what trials share, however many there are."""
    return settings_fingerprint(
        data=data,
        source=config.source.to_dict() | {"path": ""},
        detector=config.detector.to_dict(),
        weights=weights_fingerprint(config.detector.model),
        code=code_fingerprint(),
    )


def create_pipeline(config: PipelineConfig, root: str, data: str, baseline: str, lost: str = "") -> Pipeline:
    """The TFX pipeline of a config.

    Args:
      config: what to build.
      root: artifact root, a local folder or a bucket.
      data: fingerprint of the annotations' and images' bytes.
      baseline: registry version to compare with; empty for none, `@alias` to look it up when scoring.
      lost: what the registry lost of earlier pushes; the Pusher runs again when it changes.
    """
    code, inputs = code_fingerprint(), training_inputs(config, data)
    examples_node = example_gen(config.source, data)
    examples = examples_node.outputs["examples"]
    checking, schema = check_examples(config, examples)
    training = train_detector(config, examples, schema, root, data)
    trainer = training[-1]
    exporter = Exporter(model=trainer.outputs["model"], examples=examples, fingerprint=code)
    bundle = exporter.outputs["exported_model"]
    registry = config.registry.to_dict()
    evaluator = Evaluator(
        examples=examples,
        model=bundle,
        schema=schema,
        bounds=config.blessing,
        registry=registry,
        baseline=baseline,
        fingerprint=code,
    )
    pusher = Pusher(
        model=bundle,
        blessing=evaluator.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"],
        examples=examples,
        registry=registry,
        tags={"inputs": inputs, "data": data, "baseline": baseline},
        fingerprint=code + lost,
    )
    nodes = [examples_node, *checking, *training, exporter, evaluator, pusher]
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=root,
        components=nodes,
        enable_cache=True,
        beam_pipeline_args=config.beam.arguments(config.cluster.image),
    )


def example_gen(source: SourceConfig, data: str) -> BaseComponent:
    """The node that reads the configured annotation format."""
    if source.format == "coco":
        return CocoExampleGen(
            input_base=source.path,
            splits=source.splits,
            image_folders=source.images,
            max_bad_fraction=source.max_bad_fraction,
            fingerprint=data + code_fingerprint(),
            captions=source.captions,
            masks=source.masks,
            group_by=source.group_by,
            group_pattern=source.group_pattern,
            divide=source.divide,
            shard_images=source.shard_images,
        )
    return VocExampleGen(
        input_base=source.path,
        splits=source.splits,
        classes=list(source.classes) if source.classes else None,
        max_bad_fraction=source.max_bad_fraction,
        fingerprint=data + code_fingerprint(),
        group_pattern=source.group_pattern,
        divide=source.divide,
        shard_images=source.shard_images,
    )


def check_examples(config: PipelineConfig, examples: BaseChannel) -> tuple[list[BaseComponent], BaseChannel]:
    """Statistics, schema and validation of the examples: the nodes, and the channel of the schema."""
    imported = config.schema_source == "imported"
    statistics = StatisticsGen(examples=examples, stats_options=_without_pixels() if imported else None)
    if imported:
        schema_gen: BaseComponent = ImportSchemaGen(schema_file=str(schemas.path("detection.pbtxt")))
    else:
        schema_gen = SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=False)
    schema = schema_gen.outputs["schema"]
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema)
    return [statistics, schema_gen, validator], schema


def train_detector(
    config: PipelineConfig, examples: BaseChannel, schema: BaseChannel, root: str, data: str
) -> list[BaseComponent]:
    """The Trainer, and before it the Tuner if the config asks for trials."""
    untuned, inputs = _untuned_inputs(config, data), training_inputs(config, data)
    place = f"{root}/checkpoints/{untuned}"
    if not config.tuning.trials:
        return [detector_trainer(examples, schema, config.detector, place, inputs)]
    tuner = detector_tuner(examples, schema, config.detector, config.tuning, f"{root}/trials/{untuned}", untuned)
    best = tuner.outputs["best_hyperparameters"]
    return [tuner, detector_trainer(examples, schema, config.detector, place, inputs, best)]


def _without_pixels() -> tfdv.StatsOptions:
    """Statistics of every feature but the compressed image bytes, of which they would cost much and say nothing."""
    features = tfdv.load_schema_text(str(schemas.path("detection.pbtxt"))).feature
    return tfdv.StatsOptions(feature_allowlist=[f.name for f in features if f.name != "image/encoded"])
