"""How a bundle is judged: TFX's Evaluator runs our metric on the files that ship, then the record is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tensorflow_model_analysis as tfma
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as stock
from tfx.types import Artifact, artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.utils import json_utils, proto_utils

from components.evaluator import extractor
from components.evaluator.detectors import detectors
from components.evaluator.metrics import BASELINE, CANDIDATE, IMAGES, PER_CLASS, eval_config, read_metrics
from components.evaluator.thresholds import kept, set_thresholds
from efficientdet.blessing import VARIANTS, Blessing, Bounds, Champion, Evidence, Metrics, judge
from efficientdet.blessing.evidence import Interval
from efficientdet.bundle import TFLITE_FILE, variants, verify_manifest
from efficientdet.coco_metric import COCO_METRICS
from efficientdet.data import ledger
from efficientdet.data.input_pipeline import count_records
from efficientdet.errors import DataError, ModelError
from efficientdet.infer import read_packed
from efficientdet.label_map import LabelMap
from efficientdet.registry import ModelVersion, open_registry

METRICS_FILE = "metrics.json"

Artifacts = dict[str, list[Artifact]]
Found = Mapping[str, Mapping[int | None, float | None]]
"""What TFMA measured of one model: number by name, and by class id or None for all classes."""


class Executor(stock.Executor):
    """TFX's Evaluator executor; a subclass, since Kubeflow's entrypoint translates ids for those alone."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:  # noqa: N802
        """Judges `model` on the split of `examples`; see `Evaluator` for the parameters.

        Raises ModelError when a bundle is damaged or has another label map than the examples, and
        DataError when the split is empty.
        """
        bounds = Bounds.parse(json.loads(exec_properties["bounds"]), source="Evaluator bounds")
        examples = artifact_utils.get_single_instance(input_dict[keys.EXAMPLES_KEY])
        [split] = json_utils.loads(exec_properties[keys.EXAMPLE_SPLITS_KEY])
        label_map = LabelMap.load(examples.uri)
        bundle = Path(artifact_utils.get_single_uri(input_dict[keys.MODEL_KEY]))
        check_bundle(bundle, label_map)
        total = count_images(examples, split)
        files = list(variants(bundle))
        with TemporaryDirectory() as folder:
            place = Path(folder) / BASELINE
            version = fetch_champion(exec_properties, place) if bounds.max_champion_drop is not None else None
            other_classes = version is not None and LabelMap.load(place).hash != label_map.hash
            compared = version is not None and not other_classes
            if compared:
                check_bundle(place, label_map)
                input_dict = {**input_dict, keys.BASELINE_MODEL_KEY: [_model(place)]}
            common = [name for name in files if name in variants(place)] if compared else []
            config = eval_config(with_baseline=compared)
            set_thresholds(config, bounds, total, files, common if bounds.on_changed_split == "compare" else [])
            analysis = {
                keys.EVAL_CONFIG_KEY: proto_utils.proto_to_json(config),
                keys.MODULE_PATH_KEY: extractor.__name__,
            }
            try:
                super().Do(input_dict, output_dict, {**exec_properties, **analysis})
            finally:
                detectors.cache_clear()
        evaluation = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
        found = read_metrics(evaluation)[CANDIDATE if compared else ""]
        theirs = _overall(read_metrics(evaluation)[BASELINE]) if compared else {}
        drops = {v: Interval(*[(theirs[v]["AP"] or 0) - (found[f"{v}/AP"][None] or 0)] * 3) for v in common}
        rival = Champion(str(version), drops, other_classes) if version else None
        per_class = _per_class(found, label_map)
        known = Evidence(
            metrics=_overall(found),
            images={variant: int(found[f"{variant}/{IMAGES}"][None] or 0) for variant in files},
            total=total,
            per_class=per_class,
            missing_classes=tuple(name for name, numbers in per_class["float"].items() if numbers["AP"] is None),
            runtimes={variant: {"bytes": float(size(path))} for variant, path in variants(bundle).items()},
            champion=rival,
        )
        record = Blessing(
            rules=judge(bounds, known),
            split=split,
            images_scored=min(known.images.values()),
            images_total=total,
            metrics=known.metrics,
            per_class=per_class,
            missing_classes=known.missing_classes,
            runtimes=known.runtimes,
            champion=version.version if version and compared else "",
            champion_metrics=theirs,
            on_inconclusive=bounds.on_inconclusive,
        )
        if kept(record.rules, bool(common)) != tfma.load_validation_result(evaluation).validation_ok:
            raise AssertionError(f"{evaluation}: our rules say {record.outcome}, TFMA's thresholds the opposite")
        # The report, and the best threshold of each class, are written here.
        _write(record, output_dict, version if compared else None)


def check_bundle(folder: Path, label_map: LabelMap) -> None:
    """Raises ModelError unless the bundle is whole and both it and its TFLite have this label map."""
    verify_manifest(folder)
    _, packed = read_packed(folder / TFLITE_FILE)
    for where, found in ((folder, LabelMap.load(folder)), (folder / TFLITE_FILE, packed)):
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


def fetch_champion(exec_properties: Mapping[str, Any], destination: Path) -> ModelVersion | None:
    """Copies the bundle to compare with to `destination`; None when the pipeline names none or there is none yet."""
    baseline, settings = exec_properties["baseline"], json.loads(exec_properties["registry"])
    if not baseline:
        return None
    registry = open_registry(settings["uri"])
    if baseline.startswith("@"):
        champion = registry.champion(settings["name"], baseline.removeprefix("@"))
        if champion is None:
            return None
        baseline = champion.version
    return registry.fetch(settings["name"], baseline, destination)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())


def _model(folder: Path) -> Artifact:
    model = standard_artifacts.Model()
    model.uri = str(folder)
    return model


def _per_class(found: Found, label_map: LabelMap) -> Mapping[str, Metrics]:
    """The numbers of each class, by variant and class name."""
    return {
        variant: {
            label.name: {name: found[f"{variant}/{name}"].get(label.id) for name in PER_CLASS} for label in label_map
        }
        for variant in VARIANTS
    }


def _overall(values: Found) -> Metrics:
    return {variant: {name: values[f"{variant}/{name}"][None] for name in COCO_METRICS} for variant in VARIANTS}


def _write(record: Blessing, output_dict: Artifacts, champion: ModelVersion | None) -> None:
    """Leaves the record in both artifacts, and the champion's name in place of the folder it was fetched to."""
    evaluation = artifact_utils.get_single_uri(output_dict[keys.EVALUATION_KEY])
    blessing = artifact_utils.get_single_instance(output_dict[keys.BLESSING_KEY])
    for folder in (evaluation, blessing.uri):
        record.write(folder)
    aside = Path(evaluation) / f".{METRICS_FILE}"
    aside.write_text(json.dumps({**record.metrics, "per_class": record.per_class}, indent=1) + "\n", encoding="utf-8")
    aside.replace(aside.with_name(METRICS_FILE))
    for name in (constants.BLESSED_FILE_NAME, constants.NOT_BLESSED_FILE_NAME):  # TFMA's, by its thresholds alone
        (Path(blessing.uri) / name).unlink(missing_ok=True)
    (Path(blessing.uri) / (constants.BLESSED_FILE_NAME if record.blessed else constants.NOT_BLESSED_FILE_NAME)).touch()
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(record.blessed))
    if champion:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, str(champion))
