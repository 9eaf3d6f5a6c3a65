"""Statistics, schema and validation on TFX's local runner, against a real registry."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.components import SchemaGen
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

import schemas
from components.example_validator import ExampleValidator, measure_drift, narrow, read_anomalies
from components.import_schema_gen import ImportSchemaGen
from components.statistics_gen import StatisticsGen, without_images
from efficientdet.bundle import write_manifest
from efficientdet.data import profile
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.demo import write_demo_data
from efficientdet.data.drift import distance
from efficientdet.data.example_folder import Source, write_examples
from efficientdet.data.input_pipeline import read_records
from efficientdet.data.profile import Profile, profile_example, total
from efficientdet.data.voc import read_voc, voc_label_map
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap
from efficientdet.registry import open_registry
from efficientdet.validation import Validation

LABELS = LabelMap.from_names(["cat", "собака"])
BOX = {"ymin": 0.1, "xmin": 0.2, "ymax": 0.5, "xmax": 1.0}
Values = Sequence[bytes] | Sequence[int] | Sequence[float] | None


def record(boxes: int = 1, class_id: int = 1, **changed: Values) -> bytes:
    """A record whose objects are alike, with features changed (`height` for `image/height`) or, by None, left out."""
    values: dict[str, Values] = {
        "encoded": [b"\xff\xd8 bytes of an image"],
        "format": [b"jpeg"],
        "height": [48],
        "width": [64],
        "filename": ["кот.jpg".encode()],
        "source_id": [b"7"],
        "key/sha256": [b"ab"],
        "object/class/text": [LABELS[class_id].name.encode()] * boxes,
        "object/class/label": [class_id] * boxes,
        "object/is_crowd": [0] * boxes,
        "object/area": [3.0] * boxes,
        "object/difficult": [0] * boxes,
    }
    values |= {f"object/bbox/{side}": [value] * boxes for side, value in BOX.items()}
    kinds = {f.name.removeprefix("image/"): f.type for f in detection_schema().feature}
    example = tf.train.Example()
    for name, listed in (values | changed).items():
        if listed is not None:
            kind = {bytes: "bytes_list", int: "int64_list", float: "float_list"}[type(listed[0])] if listed else None
            feature = example.features.feature[f"image/{name}"]
            target = getattr(feature, kind or {1: "bytes_list", 2: "int64_list", 3: "float_list"}[kinds[name]])
            target.SetInParent()
            target.value.extend(listed)
    return example.SerializeToString()


def detection_schema() -> schema_pb2.Schema:
    return tfdv.load_schema_text(schemas.path("detection.pbtxt"))


def write_shard(path: Path, records: Sequence[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for each in records:
            writer.write(each)


def statistics(folder: Path, records: Sequence[bytes]) -> Any:
    """TFDV's own statistics, as StatisticsGen has them made."""
    write_shard(folder / "shard.gz", list(map(without_images, records)))
    options = beam.options.pipeline_options.PipelineOptions(["--runner=FnApiRunner"])
    return tfdv.generate_statistics_from_tfrecord(str(folder / "shard.gz"), pipeline_options=options)


def anomalies(folder: Path, records: Sequence[bytes], labels: LabelMap = LABELS) -> dict[str, str]:
    """What TFDV finds by the narrowed schema: sentence by feature."""
    found = statistics(folder, records)
    broken = tfdv.validate_statistics(found, narrow(detection_schema(), labels, found))
    return {anomaly.feature: anomaly.message for anomaly in read_anomalies("train", broken)}


@pytest.mark.parametrize(
    "broken",
    [
        {
            "object/bbox/ymax": ([1.2], "Unexpectedly high value: 1.2>1"),
            "object/bbox/xmin": ([-0.1], "Unexpectedly low values: -0.1<0"),
            "object/bbox/xmax": ([float("nan")], "has NaN values"),
            "object/class/label": ([0], "Unexpectedly small value: 0"),
            "object/class/text": ([b"cow"], "missing from the schema: cow"),
            "object/is_crowd": ([2], "Unexpectedly large value: 2"),
            "object/difficult": ([-1], "Unexpectedly small value: -1"),
            "object/area": ([-1.0], "Unexpectedly low values: -1<0"),
            "format": ([b"webp"], "missing from the schema: webp"),
            "height": (None, "fewer examples than expected"),
            "width": ([2**31], "Unexpectedly large value: 2147483648"),
            "source_id": ([b"7", b"8"], "more values than expected"),
        },
        {
            "object/bbox/ymin": ([float("inf")], "has Inf values"),
            "object/class/label": ([3], "Unexpectedly large value: 3"),
            "object/area": (None, "fewer examples than expected"),
            "height": ([0], "Unexpectedly small value: 0"),
            "width": ([64, 64], "more values than expected"),
            "filename": ([], "fewer values than expected"),
            "group": ([b"a", b"b"], "more values than expected"),
        },
    ],
    ids=["one fault of each feature", "other faults"],
)
def test_each_broken_feature_has_its_anomaly(tmp_path: Path, broken: dict[str, tuple[Values, str]]) -> None:
    found = anomalies(tmp_path, [record(), record(**{feature: values for feature, (values, _) in broken.items()})])
    assert found.keys() == {f"image/{feature}" for feature in broken}
    for feature, (_, says) in broken.items():
        assert says in found[f"image/{feature}"]


def test_a_feature_that_the_schema_does_not_know_is_an_anomaly(tmp_path: Path) -> None:
    assert "New column" in anomalies(tmp_path, [record(colour=[b"red"])])["image/colour"]


def test_another_type_of_numbers_is_an_anomaly(tmp_path: Path) -> None:
    assert "Expected data of type: INT but got FLOAT" in anomalies(tmp_path, [record(height=[48.0])])["image/height"]


@pytest.mark.parametrize(
    "records",
    [
        [record(), record(3, 2), record(0)],
        [record(0), record(0)],
        [record(caption=[b"a cat", b"another"], group=[b"video"], **{"object/mask": [b"\x89PNG"]}), record()],
        [record(filename=[b"caf\xe9.jpg"])],
    ],
    ids=["usual", "no boxes at all", "with optional features", "names in no encoding"],
)
def test_good_records_have_none(tmp_path: Path, records: list[bytes]) -> None:
    assert anomalies(tmp_path, records) == {}


def real_anomalies(folder: Path, entries: Iterable[Any], root: Path, images: str, labels: LabelMap, names: bool) -> Any:
    """What TFDV finds in examples that are written of a real data set."""
    write_examples(Source(list(entries), root, images, labels, names), folder / "data", 1, 0.01)
    return anomalies(folder, list(read_records(f"{folder}/data/*.gz").as_numpy_iterator()), labels)


def test_the_demo_data_have_none(tmp_path: Path) -> None:
    write_demo_data(tmp_path / "demo", images={"train": 12})
    file = tmp_path / "demo/annotations/instances_train.json"
    assert real_anomalies(tmp_path, read_coco([file]), tmp_path / "demo", "train", coco_label_map([file]), False) == {}


def test_real_data_have_none(tmp_path: Path, shared: Path) -> None:
    """COCO with masks; and VOC, where some boxes reach over the border."""
    coco, voc = shared / "data/coco_mini", shared / "data/bccd/BCCD"
    file, image_set = coco / "annotations/instances_val2017.json", voc / "ImageSets/Main/test.txt"
    entries = read_coco([file], masks=True)
    assert real_anomalies(tmp_path / "coco", entries, coco, "val2017", coco_label_map([file]), False) == {}
    labels = voc_label_map([image_set], None)
    assert real_anomalies(tmp_path / "voc", read_voc(image_set), voc, "JPEGImages", labels, True) == {}


def test_no_records_at_all_is_an_anomaly(tmp_path: Path) -> None:
    assert anomalies(tmp_path, []) == {"": "holds no examples"}


def test_severities_are_those_of_tfdv() -> None:
    found = anomalies_pb2.Anomalies()
    for name, severity in (("b", "WARNING"), ("a", "ERROR"), ("c", "UNKNOWN")):
        found.anomaly_info[name].severity = anomalies_pb2.AnomalyInfo.Severity.Value(severity)
        found.anomaly_info[name].short_description = name.upper()
    found.dataset_anomaly_info.description = "Too few examples."
    listed = [(each.feature, each.severity, each.message) for each in read_anomalies("eval", found)]
    assert listed == [
        ("", "error", "Too few examples"),
        ("a", "error", "A"),
        ("b", "warning", "B"),
        ("c", "error", "C"),
    ]


def test_distances_are_those_of_tfdv(tmp_path: Path) -> None:
    """TFDV's drift of one string and one number; its histograms are approximate."""
    heights, class_ids = {"a": [10, 20, 30, 40], "b": [10, 10, 10, 40]}, {"a": [1, 1, 1, 2], "b": [1, 2, 2, 2]}
    pairs = {name: zip(class_ids[name], heights[name], strict=True) for name in "ab"}
    data = {name: [record(1, c, height=[h]) for c, h in pairs[name]] for name in "ab"}
    schema = detection_schema()
    tfdv.get_feature(schema, "image/object/class/text").drift_comparator.infinity_norm.threshold = 0
    tfdv.get_feature(schema, "image/height").drift_comparator.jensen_shannon_divergence.threshold = 0
    a, b = (statistics(tmp_path / name, each) for name, each in data.items())
    drifts = tfdv.validate_statistics(b, schema, previous_statistics=a).drift_skew_info
    theirs = {info.path.step[0]: info.drift_measurements[0].value for info in drifts}
    classes = [total(map(profile_example, each)).classes for each in data.values()]
    assert distance("classes", *classes).value == pytest.approx(theirs["image/object/class/text"])
    counts = [{str(h): each.count(h) for h in each} for each in heights.values()]
    assert distance("image_size", *counts).value == pytest.approx(theirs["image/height"], abs=0.005)


SPLITS = {"train": [record(), record(2, 2), record(0)], "eval": [record(), record(0)]}


class World:
    """A folder with examples, a registry, and a pipeline of the three nodes that check them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.registry = folder, open_registry(folder / "registry")
        self.connection = sqlite_metadata_connection_config(str(folder / "metadata.db"))
        self.write(SPLITS)

    def write(self, splits: dict[str, list[bytes]]) -> None:
        """Other examples, as another artifact."""
        count = sum(1 for _ in self.folder.glob("examples-*"))
        self.examples = self.folder / f"examples-{count}"
        for split, records in splits.items():
            write_shard(self.examples / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz", records)
        (self.examples / "label_map.json").write_text(LABELS.to_json())

    def run(self, baseline: str = "", inferred: bool = False, **validation: Any) -> set[str]:
        """Runs the pipeline; the nodes that were not cached."""
        node = Importer(
            source_uri=str(self.examples),
            artifact_type=standard_artifacts.Examples,
            properties={"split_names": '["train", "eval"]'},
        ).with_id("examples")
        examples = node.outputs["result"]
        statistics_gen = StatisticsGen(examples, "code")
        statistics = statistics_gen.outputs["statistics"]
        schema_gen = SchemaGen(statistics=statistics, infer_feature_shape=False) if inferred else ImportSchemaGen()
        validator = ExampleValidator(
            statistics=statistics,
            schema=schema_gen.outputs["schema"],
            examples=examples,
            validation=Validation(**validation),
            registry={"uri": str(self.folder / "registry"), "name": "pets"},
            baseline=baseline,
            fingerprint="code",
        )
        LocalDagRunner().run(
            Pipeline(
                pipeline_name="check",
                pipeline_root=str(self.folder / "root"),
                components=[node, statistics_gen, schema_gen, validator],
                metadata_connection_config=self.connection,
                enable_cache=True,
                beam_pipeline_args=["--runner=FnApiRunner"],
            )
        )
        store = MetadataStore(self.connection)
        newest = max(store.get_contexts_by_type("pipeline_run"), key=lambda run: run.id)
        states = {}
        for execution in store.get_executions_by_context(newest.id):
            [name] = [c.name for c in store.get_contexts_by_execution(execution.id) if c.type == "node"]
            states[name.rpartition(".")[2]] = execution.last_known_state
        return {name for name, state in states.items() if state == metadata_store_pb2.Execution.COMPLETE} - {"examples"}

    def newest(self, kind: str) -> Path:
        """The folder of the newest artifact of a type."""
        artifacts = MetadataStore(self.connection).get_artifacts_by_type(kind)
        return Path(max(artifacts, key=lambda artifact: artifact.id).uri)

    @property
    def drift(self) -> dict[str, Any]:
        return json.loads((self.newest("ExampleAnomalies") / "drift.json").read_text())

    def register(self, counted: str | None, content: str = "one") -> str:
        """Makes a champion with this text as its profile, as the Pusher does; its version."""
        bundle = self.folder / f"bundle-{content}"
        bundle.mkdir()
        for name, text in {"model.bin": content, "label_map.json": LABELS.to_json(), "config.yaml": "{}"}.items():
            (bundle / name).write_text(text)
        write_manifest(bundle)
        documents, tags = [], {}
        if counted is not None:
            documents, tags = [self.folder / profile.FILE_NAME], {profile.TAG: f"documents/{profile.FILE_NAME}"}
            documents[0].write_text(counted)
        version = self.registry.register(bundle, "pets", documents=documents, tags=tags).version
        self.registry.set_alias("pets", "champion", version)
        return version


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_first_run_reports_skew_and_that_there_is_no_baseline(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="components.example_validator"):
        assert world.run() == {"StatisticsGen", "ImportSchemaGen", "ExampleValidator"}
    lines = [record.getMessage() for record in caplog.records if record.name == "components.example_validator"]
    assert lines[0].startswith("skew of eval against train: classes 0.667 (")
    assert lines[1:] == ["drift: no baseline: there is no champion yet"]
    assert (world.drift["note"], world.drift["drift"]) == ("no baseline: there is no champion yet", {})
    assert world.drift["skew"]["eval"]["gone_classes"] == ["собака"]
    folder = world.newest("ExampleAnomalies")
    assert json.loads((folder / "anomalies.json").read_text()) == {"anomalies": []}
    for split in SPLITS:
        found = anomalies_pb2.Anomalies.FromString((folder / f"Split-{split}" / "SchemaDiff.pb").read_bytes())
        assert (found.baseline.feature[0].name, found.anomaly_info) == ("image/encoded", {})
    assert not list(world.folder.rglob("*-refused.json"))
    counted = profile.load(world.newest("ExampleStatistics") / profile.FILE_NAME)
    assert counted == {split: total(map(profile_example, records)) for split, records in SPLITS.items()}
    assert world.run() == set(), "nothing changed"


def test_what_a_schema_is_inferred_from_has_no_anomaly(world: World) -> None:
    """Not even a split without a single box, whose lists are empty where the other's are not."""
    world.write({"train": [record(), record(2, 2)], "eval": [record(0), record(0)]})
    world.run(inferred=True)
    assert json.loads((world.newest("ExampleAnomalies") / "anomalies.json").read_text()) == {"anomalies": []}
    inferred = tfdv.load_schema_text(str(world.newest("Schema") / "schema.pbtxt"))
    names = {feature.name for feature in inferred.feature}
    assert "image/object/class/text" in names
    assert "image/encoded" not in names


def test_an_anomaly_fails_the_run_by_severity(world: World) -> None:
    world.write({"train": [record()], "eval": [record(format=[b"webp"], height=[0])]})
    with pytest.raises(DataError, match=r"^split eval, image/format: .*webp.* \(and 1 more\); mend the data") as error:
        world.run()
    refused = world.folder / "root" / "ExampleValidator" / "anomalies-refused.json"
    assert str(refused) in str(error.value)
    listed = json.loads(refused.read_text())
    assert [anomaly["feature"] for anomaly in listed["anomalies"]] == ["image/format", "image/height"]
    assert listed["drift"]["skew"]["eval"]["against"] == "train"
    assert world.run(fail_on="never") == {"ExampleValidator"}, "the statistics are cached"
    assert len(json.loads((world.newest("ExampleAnomalies") / "anomalies.json").read_text())["anomalies"]) == 2
    assert not refused.exists()


def test_drift_is_measured_against_the_champions_data(world: World) -> None:
    world.run()
    version = world.register((world.newest("ExampleStatistics") / profile.FILE_NAME).read_text())
    assert world.run(version) == {"ExampleValidator"}, "another baseline, the same data"
    assert world.run(version) == set()
    world.write({"train": [record(1, 2, height=[480], width=[640])], "eval": SPLITS["eval"]})
    assert world.run(version) == {"StatisticsGen", "ExampleValidator"}
    found = world.drift
    assert (found["baseline"], found["note"]) == ("pets@1", "")
    train = {name: each["value"] for name, each in found["drift"]["train"]["distances"].items()}
    assert train["classes"] == pytest.approx(1 / 3, abs=1e-6)
    assert train["image_size"] == 1
    assert found["drift"]["train"]["gone_classes"] == ["cat"]
    assert {each["value"] for each in found["drift"]["eval"]["distances"].values()} == {0}
    with pytest.raises(DataError, match=r"split train, classes: 0\.333 away from pets@1's train, most at "):
        world.run(version, max_drift=0.3)


def measured(world: World, baseline: str) -> dict[str, Any]:
    """The drift of some profile from a registered version's."""
    registry = json.dumps({"uri": str(world.folder / "registry"), "name": "pets"})
    return measure_drift({"train": Profile()}, {"baseline": baseline, "registry": registry}).to_dict()


def test_what_has_no_profile_is_no_baseline(world: World) -> None:
    uri = world.registry.uri
    assert measured(world, "")["note"] == "no baseline: there is no champion yet"
    assert measured(world, "@champion")["note"] == f"no baseline: {uri} holds no pets @champion"
    world.register(None, "one")
    assert measured(world, "@champion")["note"] == "no baseline: pets@1 was registered without a profile of its data"
    assert measured(world, "7")["note"] == f"no baseline: {uri} holds no pets 7"
    world.register(json.dumps({"format": 99, "splits": {}}), "two")
    assert "has format 99, but this version reads format 1" in measured(world, "2")["note"]
    world.register(profile.to_json({"train": Profile()}), "three")
    for baseline in ("@champion", "3"):
        assert measured(world, baseline)["baseline"] == "pets@3"
        assert measured(world, baseline)["drift"]["train"]["against"] == "pets@3's train"
