"""The Pusher node: a blessed bundle becomes a registered version, and the alias moves to it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx.components.evaluator.constants import BLESSED_FILE_NAME
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import Artifact, BaseChannel, Channel, ComponentSpec, artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from components.run_parameters import DATA_PATH, TRAINING_PARAMETERS, changed_fingerprint, changed_parameters
from efficientdet import blessing as blessing_file
from efficientdet import config as config_file
from efficientdet import infra_blessing as infra_file
from efficientdet import split_identity
from efficientdet.atomic_file import write_file, write_json
from efficientdet.best_threshold import FILE_NAME as THRESHOLDS_FILE
from efficientdet.best_threshold import TAG as THRESHOLDS_TAG
from efficientdet.blessing import Blessing
from efficientdet.commit import code_commit
from efficientdet.config import Config
from efficientdet.data import ledger as ledger_file
from efficientdet.data import profile as profile_file
from efficientdet.errors import DataError, ModelError
from efficientdet.infra_blessing import InfraBlessing
from efficientdet.label_map import LabelMap
from efficientdet.model_card import FILE_NAME as CARD_FILE
from efficientdet.model_card import Facts as CardFacts
from efficientdet.model_card import model_card
from efficientdet.person import person
from efficientdet.registry import CHAMPION, DOCUMENTS_FOLDER, ModelVersion, open_registry, rival_of
from efficientdet.registry.promotion import promote, replacement
from efficientdet.report.page import FILE_NAME as REPORT_FILE

PUSHED_FILE = "pushed.json"
METRICS_FILE = "metrics.json"

Artifacts = dict[str, list[Artifact]]


class Executor(base_executor.BaseExecutor):
    """Registers the bundle and moves the alias, or says why not.

    A process killed anywhere here leaves no version or a complete one; run again, the registry finds the
    complete one by its content and only the alias is still to be moved. A version that was champion and was replaced
    since stays what it is: who rolled back is not overruled by a run that is repeated.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Writes `pushed.json` and the artifact's properties; see `Pusher`.

        Raises ModelError when the label maps differ, and DataError when the blessing is damaged.
        """
        uris = {key: Path(artifact_utils.get_single_uri(artifacts)) for key, artifacts in input_dict.items()}
        judgement, infra = Blessing.load(uris["blessing"]), InfraBlessing.load(uris["infra_blessing"])
        _check_sign(uris["blessing"] / blessing_file.FILE_NAME, BLESSED_FILE_NAME, judgement.blessed)
        _check_sign(uris["infra_blessing"] / infra_file.FILE_NAME, infra_file.INFRA_BLESSED, infra.blessed)
        reasons = [*([] if judgement.blessed else judgement.reasons), *infra.reasons]
        exec_properties["tags"] = _with_origin(exec_properties["tags"], self._context)
        if judgement.blessed and infra.blessed:
            tags = as_run(exec_properties, uris["examples"])
            pushed = push(uris, judgement, json.loads(exec_properties["registry"]), tags)
        else:
            pushed = {"pushed": False, "reason": "; ".join(reasons) or "the InfraValidator had no file to run"}
        _record(pushed, artifact_utils.get_single_instance(output_dict["pushed_model"]))


def push(
    uris: Mapping[str, Path], judgement: Blessing, settings: Mapping[str, str], tags: Mapping[str, str]
) -> dict[str, Any]:
    """Registers the bundle in the folder `uris["model"]`, then moves the alias: the content of `pushed.json`."""
    label_map = LabelMap.load(uris["model"])
    if label_map.hash != LabelMap.load(uris["examples"]).hash:
        raise ModelError(
            f"{uris['model']}: its label map is not that of {uris['examples']}; train it on these examples"
        )
    beside = [uris["blessing"] / blessing_file.FILE_NAME, uris["infra_blessing"] / infra_file.FILE_NAME]
    beside += [uris["evaluation"] / name for name in (METRICS_FILE, REPORT_FILE)]
    beside.append(uris["examples"] / ledger_file.FILE_NAME)
    facts = {
        "architecture": Config.load(uris["model"] / config_file.FILE_NAME).model.name,
        "label_map": label_map.hash,
        "blessing": judgement.outcome,
        "baseline": judgement.baseline,
        "champion": judgement.champion,
        "split": judgement.split,
        split_identity.TAG: judgement.split_identity,
        "images": f"{judgement.images_scored} of {judgement.images_total}",
    }
    if judgement.override:
        facts["override"] = str(judgement.override)
    if "statistics" in uris:
        beside.append(uris["statistics"] / profile_file.FILE_NAME)
        facts[profile_file.TAG] = f"{DOCUMENTS_FOLDER}/{profile_file.FILE_NAME}"
    if (uris["evaluation"] / THRESHOLDS_FILE).is_file():
        beside.append(uris["evaluation"] / THRESHOLDS_FILE)
        facts[THRESHOLDS_TAG] = f"{DOCUMENTS_FOLDER}/{THRESHOLDS_FILE}"
    registry = open_registry(settings["uri"])
    alias = settings.get("alias", CHAMPION)
    rival = registry.champion(settings["name"], rival_of(alias))
    if rival and overtaken(rival, judgement, tags):
        reason = f"{rival} became {rival_of(alias)} while this model was judged against another; run again"
        reason += " to compare with it"
        return {"pushed": False, "reason": reason}
    facts |= dict(tags)
    with tempfile.TemporaryDirectory() as aside:
        beside.append(write_file(Path(aside) / CARD_FILE, _card(settings["name"], label_map, judgement, facts, uris)))
        version = registry.register(
            uris["model"],
            settings["name"],
            metrics=judgement.metrics,
            tags=facts,
            documents=[path for path in beside if path.is_file()],
        )
    if alias == CHAMPION:
        if replaced := replacement(registry, version.name, version.version):
            again = f"`efficientdet-pipeline promote {version} --reason TEXT` brings it back"
            return {"pushed": False, "reason": f"{version} was the {CHAMPION} until {replaced}; {again}"}
        promote(registry, version.name, version.version, by=person(), reason=str(judgement.override or "blessed"))
    elif CHAMPION not in version.aliases:
        registry.set_alias(version.name, alias, version.version)
    reason = f"{judgement.override or 'blessed'}, registered in {registry.uri}"
    return {"pushed": True, "name": version.name, "version": version.version, "alias": alias, "reason": reason}


def _card(
    name: str, label_map: LabelMap, judgement: Blessing, facts: Mapping[str, str], uris: Mapping[str, Path]
) -> str:
    """The model's card."""
    config, thresholds = Config.load(uris["model"] / config_file.FILE_NAME), uris["evaluation"] / THRESHOLDS_FILE
    best = json.loads(thresholds.read_text(encoding="utf-8")) if thresholds.is_file() else {}
    boxes: dict[str, Mapping[str, int]] = {}
    if "statistics" in uris:
        splits = profile_file.load(uris["statistics"] / profile_file.FILE_NAME)
        boxes = {split: profile.classes for split, profile in splits.items()}
    return model_card(CardFacts(name, config, label_map, judgement, best, facts, boxes))


def _with_origin(tags: str, context: Any) -> str:
    """The version's facts with the run and the commit that made it."""
    origin = {"run": getattr(context, "pipeline_run_id", None), "commit": code_commit()}
    return json.dumps(json.loads(tags) | {key: value for key, value in origin.items() if value})


def as_run(exec_properties: Mapping[str, Any], examples: Path) -> dict[str, str]:
    """The facts to keep with the version, of the data and the training of this very run."""
    tags, changed = json.loads(exec_properties["tags"]), changed_parameters(exec_properties, str(examples))
    if changed:
        tags |= {name: str(value) for name, value in changed.items()}
        tags["inputs"] = changed_fingerprint(tags.get("inputs", ""), changed)
    if DATA_PATH in changed:
        tags["data"] = ""  # the fingerprint is of the compiled path
    return tags


def overtaken(champion: ModelVersion, judgement: Blessing, tags: Mapping[str, str]) -> bool:
    """Whether the champion is another than when the model was judged, and not this very run's model already pushed."""
    return champion.version != judgement.baseline and champion.tags.get("inputs") != tags.get("inputs")


def _check_sign(record: Path, sign: str, blessed: bool) -> None:
    """Raises DataError unless TFX's empty file beside a record says what the record says."""
    if record.with_name(sign).is_file() != blessed:
        raise DataError(f"{record}: does not say what the {sign} file beside it says; evaluate the model again")


def _record(pushed: Mapping[str, Any], artifact: Artifact) -> None:
    """What happened, for people and scripts in `pushed.json`, for TFX as the artifact's properties."""
    write_json(Path(artifact.uri) / PUSHED_FILE, pushed)
    artifact.set_int_custom_property("pushed", int(pushed["pushed"]))
    for key in ("name", "version", "alias"):
        if key in pushed:
            artifact.set_string_custom_property(key, pushed[key])


class PusherSpec(ComponentSpec):
    """The Pusher's ports."""

    INPUTS = {  # noqa: RUF012 TFX's own form
        "model": ChannelParameter(type=standard_artifacts.Model),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics, optional=True),
    }
    OUTPUTS = {"pushed_model": ChannelParameter(type=standard_artifacts.PushedModel)}  # noqa: RUF012
    PARAMETERS = {  # noqa: RUF012
        "registry": ExecutionParameter(type=str),
        "tags": ExecutionParameter(type=str),
        "fingerprint": ExecutionParameter(type=str),
        **TRAINING_PARAMETERS,
    }


class Pusher(base_component.BaseComponent):
    """Registers what Evaluator and InfraValidator blessed; outputs `pushed_model`.

    Its `pushed.json` holds {pushed, reason} and, when pushed, {name, version, alias}. A model that is not
    blessed is no error: nothing is registered and the reason tells which rule it broke.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        blessing: BaseChannel,
        infra_blessing: BaseChannel,
        evaluation: BaseChannel,
        examples: BaseChannel,
        registry: Mapping[str, str],
        tags: Mapping[str, str] | None = None,
        fingerprint: str = "",
        statistics: BaseChannel | None = None,
        run_parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """The node of a pipeline.

        Args:
          model: the Exporter's Model, a bundle.
          blessing: ModelBlessing of that model, with the Evaluator's `blessing.json`.
          infra_blessing: InfraBlessing of that model.
          evaluation: ModelEvaluation with its `metrics.json`.
          examples: Examples the model was trained on; label map and ledger are taken from them.
          registry: `uri` of the registry, `name` to register under and `alias` that moves: `champion` is promoted,
            with a record of it; `candidate` waits for somebody to promote it.
          tags: facts of this run to keep with the version, such as the fingerprint of its data.
          fingerprint: hash of the code; TFX's own cache key knows only inputs and parameters.
          statistics: ExampleStatistics of our StatisticsGen, whose profile of the data the version then keeps.
          run_parameters: for a compiled pipeline, `data_path`, `epochs` and `compiled` of `components.run_parameters`.
        """
        spec = PusherSpec(
            model=model,
            blessing=blessing,
            infra_blessing=infra_blessing,
            evaluation=evaluation,
            examples=examples,
            statistics=statistics,
            registry=json.dumps(dict(registry)),
            tags=json.dumps(dict(tags or {})),
            fingerprint=fingerprint,
            pushed_model=Channel(type=standard_artifacts.PushedModel),
            **(run_parameters or {}),
        )
        super().__init__(spec=spec)
