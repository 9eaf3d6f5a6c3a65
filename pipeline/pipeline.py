"""The only wiring: from annotated images to a registered model, the same nodes for every engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfx.components import SchemaGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.types import BaseChannel

from components.evaluator import Evaluator
from components.example_gen import CocoExampleGen, CsvExampleGen, TfodExampleGen, VocExampleGen, YoloExampleGen
from components.example_validator import ExampleValidator
from components.exporter import Exporter
from components.import_schema_gen import ImportSchemaGen
from components.infra_validator import InfraValidator
from components.pusher import Pusher
from components.run_parameters import DATA_PATH
from components.statistics_gen import StatisticsGen
from components.trainer import detector_trainer
from components.tuner import detector_tuner
from efficientdet.config import Config, ExportConfig
from pipeline.config import PipelineConfig, SourceConfig
from pipeline.fingerprint import code_fingerprint, settings_fingerprint, weights_fingerprint
from pipeline.parameters import Parameters


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
        source=config.source.to_dict() | ({"path": ""} if data else {}),
        detector=_trained(config.detector).to_dict(),
        weights=weights_fingerprint(config.detector.model),
        code=code_fingerprint(),
    )


def _trained(detector: Config) -> Config:
    """The settings of a training: what is exported of it may change without another one."""
    return detector.override({"export": ExportConfig().to_dict()})


def create_pipeline(
    config: PipelineConfig,
    root: str,
    data: str,
    baseline: str,
    lost: str = "",
    parameters: Parameters | None = None,
    job: Mapping[str, Any] | None = None,
    checkpoints: str | None = None,
) -> Pipeline:
    """The TFX pipeline of a config.

    Args:
      config: what to build.
      root: artifact root, a local folder or a bucket.
      data: fingerprint of the annotations' and images' bytes.
      baseline: registry version to compare with; empty for none, `@alias` to look it up when scoring.
      lost: what the registry lost of earlier pushes; the Pusher runs again when it changes.
      parameters: what a run may set anew, when the pipeline is compiled; None for a run on this machine.
      job: on Vertex AI what makes the Trainer a custom job.
      checkpoints: folder of the checkpoints and trials, where they do not lie below `root`.
    """
    code, inputs = code_fingerprint(), training_inputs(config, data)
    run_parameters = parameters.of_training(data) if parameters else {}
    examples_node = example_gen(config.source, data, run_parameters.get(DATA_PATH))
    examples = examples_node.outputs["examples"]
    statistics, schema_gen, validator = checking = check_examples(config, examples, baseline)
    schema = schema_gen.outputs["schema"]
    training = train_detector(config, examples, schema, checkpoints or f"{root}/checkpoints", data, run_parameters, job)
    for node in training:
        node.add_upstream_node(validator)  # it gives them no artifact, but data that are refused are not trained on
    trainer = training[-1]
    exporter = Exporter(
        model=trainer.outputs["model"], examples=examples, fingerprint=code, export=config.detector.export
    )
    bundle = exporter.outputs["exported_model"]
    registry = config.registry.to_dict()
    evaluator = Evaluator(
        examples=examples,
        model=bundle,
        schema=schema,
        bounds=config.blessing,
        registry=registry,
        baseline=baseline,
        timeout_s=config.infra.timeout_s,
        fingerprint=code,
        floors=parameters.of_judgement if parameters else None,
    )
    infra_validator = InfraValidator(
        model=bundle,
        examples=examples,
        evaluation=evaluator.outputs["evaluation"],
        infra=config.infra,
        fingerprint=code,
    )
    pusher = Pusher(
        model=bundle,
        blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"],
        examples=examples,
        statistics=statistics.outputs["statistics"],
        registry=registry,
        tags=config.card.tags | {"inputs": inputs, "data": data},
        fingerprint=code + lost,
        run_parameters=run_parameters,
    )
    nodes = [examples_node, *checking, *training, exporter, evaluator, infra_validator, pusher]
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=root,
        components=nodes,
        enable_cache=True,
        beam_pipeline_args=config.beam.arguments(config.cluster.image),
    )


def example_gen(source: SourceConfig, data: str, path: RuntimeParameter | None = None) -> BaseComponent:
    """The node that reads the configured annotation format, below `path` if a run says where."""
    shared: dict[str, Any] = {
        "input_base": path or source.path,
        "splits": source.splits,
        "max_bad_fraction": source.max_bad_fraction,
        "fingerprint": data + code_fingerprint(),
        "group_pattern": source.group_pattern,
        "divide": source.divide,
        "shard_images": source.shard_images,
    }
    match source.format:
        case "coco":
            own: dict[str, Any] = {"captions": source.captions, "masks": source.masks, "group_by": source.group_by}
            return CocoExampleGen(image_folders=source.images, **own, **shared)
        case "voc":
            return VocExampleGen(classes=list(source.classes) if source.classes else None, **shared)
        case "csv":
            return CsvExampleGen(annotations=source.annotations, **shared)
        case "yolo":
            return YoloExampleGen(**shared)
        case "tfod":
            return TfodExampleGen(label_map=source.label_map, masks=source.masks, **shared)


def check_examples(config: PipelineConfig, examples: BaseChannel, baseline: str) -> tuple[BaseComponent, ...]:
    """The nodes of statistics, schema and validation of the examples."""
    statistics_gen = StatisticsGen(examples=examples, fingerprint=code_fingerprint())
    statistics = statistics_gen.outputs["statistics"]
    if config.schema_source == "imported":
        schema_gen: BaseComponent = ImportSchemaGen()
    else:
        schema_gen = SchemaGen(statistics=statistics, infer_feature_shape=False)
    validator = ExampleValidator(
        statistics=statistics,
        schema=schema_gen.outputs["schema"],
        examples=examples,
        validation=config.validation,
        registry=config.registry.to_dict(),
        baseline=baseline,
        fingerprint=code_fingerprint(),
    )
    return statistics_gen, schema_gen, validator


def train_detector(
    config: PipelineConfig,
    examples: BaseChannel,
    schema: BaseChannel,
    checkpoints: str,
    data: str,
    run_parameters: Mapping[str, Any],
    job: Mapping[str, Any] | None,
) -> list[BaseComponent]:
    """The Trainer, and before it the Tuner if the config asks for trials."""
    untuned, inputs = _untuned_inputs(config, data), training_inputs(config, data)
    place = f"{checkpoints}/{untuned}"
    detector = _trained(config.detector)
    own: dict[str, Any] = {"run_parameters": run_parameters, "job": job}
    if not config.tuning.trials:
        return [detector_trainer(examples, schema, detector, place, inputs, **own)]
    tuner = detector_tuner(examples, schema, detector, config.tuning, f"{place}/trials", untuned)
    best = tuner.outputs["best_hyperparameters"]
    return [tuner, detector_trainer(examples, schema, detector, place, inputs, best, **own)]
