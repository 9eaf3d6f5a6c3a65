"""How a bundle is judged: TFX's Evaluator runs our metric on the files that ship, then the record is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import tensorflow_model_analysis as tfma
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as stock
from tfx.types import Artifact, artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.utils import json_utils, proto_utils

from components.evaluator import extractor
from components.evaluator.champion import ChampionBundle, fetch_champion, look_up_baseline
from components.evaluator.detectors import release_detectors
from components.evaluator.eval_config import BASELINE, eval_config
from components.evaluator.evidence import Findings, gather
from components.evaluator.publication import publish
from components.evaluator.record import record_into
from components.evaluator.thresholds import kept, set_thresholds, slicing
from components.evaluator.trial import Trial, try_out
from components.run_parameters import FLOORS
from efficientdet import config as config_file
from efficientdet.atomic_file import write_json
from efficientdet.blessing import Blessing, Bounds, judge
from efficientdet.bundle import SAVED_MODEL_FOLDER, variants, verify_manifest
from efficientdet.config import Config
from efficientdet.data import ledger
from efficientdet.data.input_pipeline import count_records
from efficientdet.errors import ConfigError, DataError, ModelError
from efficientdet.label_map import LabelMap
from efficientdet.tflite_detector import read_packed

METRICS_FILE = "metrics.json"

Artifacts = dict[str, list[Artifact]]


class Case(NamedTuple):
    """What is to be judged: the bundle in a folder, on all `total` images of a split of examples, with their label map.

    pattern: the split's shards. baseline: the registry version to compare with, empty for none.
    """

    bundle: Path
    examples: str
    pattern: str
    label_map: LabelMap
    split: str
    total: int
    bounds: Bounds
    baseline: str

    @classmethod
    def open(cls, input_dict: Artifacts, exec_properties: dict[str, Any]) -> Case:
        """The case of a component's inputs and parameters, found to be whole."""
        bounds = read_bounds(exec_properties)
        examples = artifact_utils.get_single_instance(input_dict[keys.EXAMPLES_KEY])
        [split] = json_utils.loads(exec_properties[keys.EXAMPLE_SPLITS_KEY])
        label_map = LabelMap.load(examples.uri)
        bundle = Path(artifact_utils.get_single_uri(input_dict[keys.MODEL_KEY]))
        check_bundle(bundle, label_map)
        [folder] = artifact_utils.get_split_uris([examples], split)
        total, baseline = count_images(examples, split), look_up_baseline(exec_properties)
        return cls(bundle, examples.uri, f"{folder}/*", label_map, split, total, bounds, baseline)


def read_bounds(exec_properties: Mapping[str, Any]) -> Bounds:
    """The bounds to keep; the floors are those of this run, where it gives any. ConfigError for others than floors."""
    bounds = Bounds.parse(json.loads(exec_properties["bounds"]), source="Evaluator bounds")
    given = exec_properties.get(FLOORS)
    if not given:
        return bounds
    try:
        floors = json.loads(given)
    except ValueError as error:
        raise ConfigError(f'{FLOORS}={given!r}: is no JSON ({error}); give floors as {{"AP": 0.4}}') from error
    return Bounds.parse(bounds.to_dict() | {FLOORS: floors}, source="the run's parameters")


class Executor(stock.Executor):
    """TFX's Evaluator executor; a subclass, since Kubeflow's entrypoint translates ids for those alone."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Judges `model` on the split of `examples`; see `Evaluator` for the parameters.

        A bundle with a file that does not run is not scored, and not blessed. Raises ModelError when one is damaged or
        has another label map than the examples, and DataError when the split is empty.
        """
        case = Case.open(input_dict, exec_properties)
        settings = json.loads(exec_properties["registry"])
        evaluation = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
        trial = try_out(case.bundle, case.bounds, case.pattern, exec_properties["timeout_s"])
        if trial.failures:
            _conclude(case, _refused(case, trial), output_dict, None)
            return
        with TemporaryDirectory() as folder:
            champion = None
            if case.bounds.max_champion_drop is not None:
                champion = fetch_champion(case.baseline, settings, Path(folder) / BASELINE, case.label_map)
            compared = champion.comparable(variants(case.bundle)) if champion else []
            if champion and compared:
                check_bundle(champion.folder, case.label_map)
                input_dict = {**input_dict, keys.BASELINE_MODEL_KEY: [_model(champion.folder)]}
            config = _config(case, compared)
            analysis = {
                keys.EVAL_CONFIG_KEY: proto_utils.proto_to_json(config),
                keys.MODULE_PATH_KEY: extractor.__name__,
            }
            try:
                with record_into(evaluation):
                    super().Do(input_dict, output_dict, {**exec_properties, **analysis})
            finally:
                release_detectors()
        found = gather(
            evaluation,
            case.bundle,
            case.label_map,
            case.total,
            champion,
            compared,
            case.bounds.confidence,
            trial.runtimes,
        )
        record = _record(case, found, champion.version.version if champion and compared else "")
        if kept(record.rules, bool(_changes(case, compared))) != tfma.load_validation_result(evaluation).validation_ok:
            raise AssertionError(f"{evaluation}: our rules say {record.outcome}, TFMA's thresholds the opposite")
        _conclude(case, record, output_dict, champion if compared else None)


def check_bundle(folder: Path, label_map: LabelMap) -> None:
    """Raises ModelError unless the bundle is whole, its SavedModel finds objects, and all have this label map."""
    verify_manifest(folder)
    whole = Config.load(folder / config_file.FILE_NAME).export.finds_objects
    if not whole or not (folder / SAVED_MODEL_FOLDER / "saved_model.pb").is_file():
        raise ModelError(
            f"{folder}: ships no SavedModel that finds objects in pictures, against which its other files are held; "
            "export it with saved_model among export.formats, and export.pre_mode and post_mode as they are by default"
        )
    packed = {path: read_packed(path)[1] for path in variants(folder).values() if path.is_file()}
    for where, found in {folder: LabelMap.load(folder), **packed}.items():
        if found.hash != label_map.hash:
            raise ModelError(
                f"{where}: its label map {found.hash} is not the examples' {label_map.hash}, so its class ids mean "
                "other classes; train and export it on these examples, or compare with no champion"
            )


def count_images(examples: Artifact, split: str) -> int:
    """Images in a split: what the ledger says was kept, or without one the number of records.

    Raises DataError when there is none.
    """
    [folder] = artifact_utils.get_split_uris([examples], split)
    if (Path(examples.uri) / ledger.FILE_NAME).is_file():
        total = ledger.load(examples.uri).get(split, ledger.Ledger()).images.kept
    else:
        total = count_records(f"{folder}/*")
    if not total:
        raise DataError(f"{examples.uri}: split {split!r} holds no images; nothing can be scored")
    return total


def _config(case: Case, compared: Sequence[str]) -> tfma.EvalConfig:
    """What TFMA is to measure, and the bounds that it can express."""
    files, bounds = list(variants(case.bundle)), case.bounds
    config = eval_config(files, [slicing(name) for name in bounds.slice_floors], with_baseline=bool(compared))
    set_thresholds(config, bounds, case.total, files, _changes(case, compared))
    return config


def _changes(case: Case, compared: Sequence[str]) -> Sequence[str]:
    """The files whose change TFMA judges too: none where a policy may forbid it, since TFMA knows no splits."""
    return compared if case.bounds.on_changed_split == "compare" else []


def _record(case: Case, found: Findings, champion: str) -> Blessing:
    known = found.evidence
    return Blessing(
        rules=judge(case.bounds, known),
        split=case.split,
        images_scored=min(known.images.values()),
        images_total=known.total,
        metrics=known.metrics,
        per_class=known.per_class,
        slices=known.slices,
        missing_classes=known.missing_classes,
        runtimes=known.runtimes,
        split_identity=found.split_identity,
        baseline=case.baseline,
        champion=champion,
        champion_metrics=found.champion_metrics,
        on_inconclusive=case.bounds.on_inconclusive,
    )


def _refused(case: Case, trial: Trial) -> Blessing:
    """The record of a bundle that could not be scored."""
    return Blessing(
        rules=trial.rules,
        split=case.split,
        images_scored=0,
        images_total=case.total,
        metrics={},
        runtimes=trial.runtimes,
        baseline=case.baseline,
    )


def _model(folder: Path) -> Artifact:
    model = standard_artifacts.Model()
    model.uri = str(folder)
    return model


def _conclude(case: Case, record: Blessing, output_dict: Artifacts, champion: ChampionBundle | None) -> None:
    """Leaves the record in both artifacts, the report, and the champion's name for the folder it was fetched to."""
    evaluation = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
    publish(evaluation, case.examples, case.pattern, case.label_map, record)
    blessing = artifact_utils.get_single_instance(output_dict[keys.BLESSING_KEY])
    for folder in (evaluation, blessing.uri):
        record.write(folder)
    write_json(Path(evaluation) / METRICS_FILE, {**record.metrics, "per_class": record.per_class})
    _bless(record, blessing)
    if champion:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, str(champion.version))


def _bless(record: Blessing, artifact: Artifact) -> None:
    """TFX's own signs of a blessing, in place of those that it has set by TFMA's thresholds alone."""
    signs = {True: constants.BLESSED_FILE_NAME, False: constants.NOT_BLESSED_FILE_NAME}
    (Path(artifact.uri) / signs[not record.blessed]).unlink(missing_ok=True)
    (Path(artifact.uri) / signs[record.blessed]).touch()
    artifact.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(record.blessed))
