"""A refused model is blessed by a person, and pushed by the next run: TFX's local runner, real metadata, our Pusher."""

# No `from __future__ import annotations`: TFX reads those of a component's function.
import getpass
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as proto
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.pusher import Pusher
from efficientdet.blessing import Blessing, Bounds, Evidence, judge
from efficientdet.bundle import TFLITE_FILE, write_manifest
from efficientdet.config import Config
from efficientdet.errors import DataError, EfficientDetError, ModelError
from efficientdet.infra_blessing import InfraBlessing, Runtime
from efficientdet.label_map import LabelMap
from efficientdet.registry import open_registry
from pipeline.cli import main
from pipeline.metadata import Metadata
from pipeline.override import EXECUTION_TYPE, bless, root_of
from pipeline.run_history import run_contexts
from pipeline.summary import summarise

METRICS = {"float": {"AP": 0.5}, "int8": {"AP": 0.4}}


@component
def Judge(  # noqa: N802 TFX's own form
    model: InputArtifact[standard_artifacts.Model],
    evaluation: OutputArtifact[standard_artifacts.ModelEvaluation],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    floor: Parameter[float],
):
    """What the Evaluator leaves behind, without running the detector for it."""
    images = dict.fromkeys(METRICS, 4)
    rules = judge(Bounds.parse({"floors": {"AP": floor}}), Evidence(METRICS, images, 4))
    record = Blessing(rules, "eval", 4, 4, METRICS)
    for artifact in (evaluation, blessing):
        record.write(artifact.uri)
    (Path(blessing.uri) / record.outcome).touch()
    blessing.set_int_custom_property("blessed", int(record.blessed))
    blessing.set_string_custom_property("current_model", model.uri)


@component
def InfraBlessed(blessing: OutputArtifact[standard_artifacts.InfraBlessing]):  # noqa: N802
    """What the InfraValidator leaves behind of a model that runs."""
    verdict = InfraBlessing((Runtime("int8", "PASSED", "", 7),), 4, 1, "a CPU")
    verdict.write(blessing.uri)
    (Path(blessing.uri) / verdict.outcome).touch()


@dataclass
class World:
    """A pipeline of an importer each for model and examples, a judge, and the Pusher."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def store(self) -> MetadataStore:
        return Metadata(self.root).open()

    def run(self, floor: float = 0.45) -> dict:
        """Runs the pipeline; the summary of what happened."""
        types = {"model": standard_artifacts.Model, "examples": standard_artifacts.Examples}
        importers = [
            Importer(source_uri=str(self.folder / name), artifact_type=kind).with_id(name)
            for name, kind in types.items()
        ]
        model, examples = (importer.outputs["result"] for importer in importers)
        judge_node = Judge(model=model, floor=floor)
        verdict = {name: judge_node.outputs[name] for name in ("evaluation", "blessing")}
        registry = {"uri": str(self.folder / "registry"), "name": "pets", "alias": "champion"}
        infra = InfraBlessed()
        pusher = Pusher(
            model=model, examples=examples, registry=registry, infra_blessing=infra.outputs["blessing"], **verdict
        )
        LocalDagRunner().run(
            Pipeline(
                pipeline_name="override",
                pipeline_root=str(self.root / "artifacts"),
                components=[*importers, judge_node, infra, pusher],
                metadata_connection_config=Metadata(self.root).connection,
                enable_cache=True,
            )
        )
        return summarise(self.store, run_contexts(self.store, "override")[0].name, failure=None)

    @property
    def blessings(self) -> list[proto.Artifact]:
        return self.store.get_artifacts_by_type("ModelBlessing")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Where a run has just refused a model."""
    (tmp_path / "root").mkdir()
    label_map = LabelMap.from_names(["cat", "dog"]).to_json()
    for name in ("model", "examples"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "label_map.json").write_text(label_map)
    (tmp_path / "model" / TFLITE_FILE).write_text("weights")
    (tmp_path / "model" / "config.yaml").write_text(Config().to_yaml())
    write_manifest(tmp_path / "model")
    return World(tmp_path)


def states(summary: dict) -> dict[str, str]:
    return {node["name"]: node["state"] for node in summary["nodes"] if node["name"] in ("Judge", "Pusher")}


def test_the_next_run_pushes_what_a_person_blessed(world: World) -> None:
    refused = world.run()
    assert refused["outcome"] == "NOT_BLESSED"
    record = bless(Metadata(world.root), refused["run"], "the floor was meant for lite4")
    assert record.override.by.startswith(f"{getpass.getuser()}@")

    pushed = world.run()
    assert pushed["outcome"] == "BLESSED"
    assert pushed["override"]["reason"] == "the floor was meant for lite4"
    assert pushed["reasons"] == refused["reasons"]
    assert states(pushed) == {"Judge": "CACHED", "Pusher": "COMPLETE"}
    registry = open_registry(world.folder / "registry")
    champion = registry.get("pets")
    assert champion.tags["blessing"] == "NOT_BLESSED"
    assert champion.tags["override"] == str(record.override)
    registry.fetch("pets", "champion", world.folder / "fetched", only=["documents"])
    assert Blessing.load(world.folder / "fetched" / "documents") == record

    again = world.run()
    assert again["outcome"] == "BLESSED"
    assert states(again) == {"Judge": "CACHED", "Pusher": "CACHED"}


def test_the_metadata_tell_who_when_why_and_what(world: World) -> None:
    refused = world.run()
    evaluations = world.store.get_artifacts_by_type("ModelEvaluation")
    record = bless(Metadata(world.root), refused["run"], "shipped for the fair")
    assert world.store.get_artifacts_by_type("ModelEvaluation") == evaluations, "what reads it stays cached"
    [execution] = world.store.get_executions_by_type(EXECUTION_TYPE)
    said = {key: value.string_value for key, value in execution.properties.items()}
    assert said == {
        "by": record.override.by,
        "at": record.override.at.isoformat(),
        "reason": "shipped for the fair",
        "verdict": "NOT_BLESSED",
        "rules": "int8 AP 0.4000 is below its floor 0.45",
        "run": refused["run"],
    }
    verdict, blessed = world.blessings
    assert [each.custom_properties["blessed"].int_value for each in (verdict, blessed)] == [0, 1]
    assert Blessing.load(verdict.uri).override is None, "the verdict itself stays as it is"
    assert [(Path(each.uri) / "NOT_BLESSED").exists() for each in (verdict, blessed)] == [True, False]
    events = world.store.get_events_by_execution_ids([execution.id])
    taken = {event.artifact_id for event in events if event.type == proto.Event.INPUT}
    given = {event.artifact_id for event in events if event.type == proto.Event.OUTPUT}
    assert (verdict.id in taken, given - taken) == (True, {blessed.id})


def test_another_verdict_is_not_overridden(world: World) -> None:
    bless(Metadata(world.root), world.run()["run"], "good enough")
    assert world.run(floor=0.47)["outcome"] == "NOT_BLESSED"
    assert world.run()["outcome"] == "BLESSED"


def test_a_cached_run_may_be_named_too(world: World) -> None:
    world.run()
    again = world.run()
    assert states(again) == {"Judge": "CACHED", "Pusher": "CACHED"}
    bless(Metadata(world.root), again["run"], "good enough")
    assert world.run()["outcome"] == "BLESSED"


def test_the_verdict_may_be_named_by_execution_or_path(world: World) -> None:
    world.run()
    folder = Path(world.blessings[0].uri)
    for name in (
        folder.name,
        str(folder),
        str(folder / "blessing.json"),
        str(folder).replace("/blessing/", "/evaluation/"),
    ):
        shutil.copytree(world.root, world.folder / "kept")
        assert bless(Metadata(world.root), name, "good enough").blessed
        shutil.rmtree(world.root)
        (world.folder / "kept").rename(world.root)
    assert root_of(folder) == world.root


def count(world: World) -> int:
    return len(world.store.get_executions())


@pytest.mark.parametrize("run", ["2020-01-01T00:00:00.000000", "12345", "no/such/path", "", "0"])
def test_what_does_not_exist_is_not_blessed(world: World, run: str) -> None:
    last, before = world.run()["run"], count(world)
    with pytest.raises(EfficientDetError, match=f"is no run of this pipeline; its last runs are {last}"):
        bless(Metadata(world.root), run, "good enough")
    assert count(world) == before


def test_where_nothing_ran_nothing_is_blessed(world: World) -> None:
    with pytest.raises(EfficientDetError, match="no pipeline has run here"):
        bless(Metadata(world.root), "1", "good enough")
    with pytest.raises(EfficientDetError, match="lies in no folder of a pipeline"):
        root_of(world.folder)
    assert list(world.root.iterdir()) == []


def test_a_step_that_judges_nothing_is_not_blessed(world: World) -> None:
    world.run()
    with pytest.raises(EfficientDetError, match="1: has blessed and refused nothing"):
        bless(Metadata(world.root), "1", "good enough")


@pytest.mark.parametrize("reason", ["", "  "])
def test_without_a_reason_nothing_is_blessed(world: World, reason: str) -> None:
    run, before = world.run()["run"], count(world)
    with pytest.raises(DataError, match="needs a reason"):
        bless(Metadata(world.root), run, reason)
    assert count(world) == before


def test_what_is_blessed_already_stays_so(world: World) -> None:
    blessed = world.run(floor=0.1)
    with pytest.raises(DataError, match="already blessed"):
        bless(Metadata(world.root), blessed["run"], "to be sure")


def test_a_run_is_blessed_once(world: World) -> None:
    run = world.run()["run"]
    bless(Metadata(world.root), run, "good enough")
    before = count(world)
    with pytest.raises(DataError, match=r"already blessed \(overridden by .*: good enough\)"):
        bless(Metadata(world.root), run, "once more")
    assert count(world) == before


def damage_text(folder: Path) -> None:
    path = folder / "blessing.json"
    path.write_text(path.read_text().replace("NOT_BLESSED", "BLESSED"))


def damage_file(folder: Path) -> None:
    (folder / "NOT_BLESSED").rename(folder / "BLESSED")


def damage_record(folder: Path) -> None:
    (folder / "blessing.json").unlink()


@pytest.mark.parametrize("damage", [damage_text, damage_file, damage_record])
def test_a_damaged_record_is_not_overridden(world: World, damage) -> None:
    run = world.run()["run"]
    damage(Path(world.blessings[0].uri))
    before = count(world)
    with pytest.raises(DataError, match=r"blessing\.json"):
        bless(Metadata(world.root), run, "good enough")
    assert count(world) == before


def test_a_model_that_is_gone_is_not_blessed(world: World) -> None:
    run = world.run()["run"]
    (world.folder / "model" / TFLITE_FILE).write_text("other weights")
    with pytest.raises(ModelError, match=TFLITE_FILE):
        bless(Metadata(world.root), run, "good enough")


def command(world: World, run: str, reason: str, *more: str) -> Result:
    return CliRunner().invoke(main, ["bless", run, "--reason", reason, *more])


def test_the_command(world: World) -> None:
    refused = world.run()
    config = world.folder / "pets.yaml"
    source = {"format": "voc", "path": "data", "splits": {"train": "train", "eval": "val"}}
    config.write_text(
        json.dumps({"name": "override", "root": str(world.root), "source": source, "registry": {"name": "pets"}})
    )
    done = command(world, refused["run"], "the fair", "--config", str(config))
    assert done.exit_code == 0, done.output
    assert "int8 AP 0.4000 is below its floor 0.45" in done.output
    assert "NOT_BLESSED, overridden by" in done.output
    repeated = command(world, str(world.blessings[1].uri), "the fair")
    assert repeated.exit_code == 1
    assert "error: the model is already blessed (overridden by" in repeated.output


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["1", "--reason", "so"], 2, "1: is no path of a blessing; for the id of a run give its --config too"),
        (["/", "--reason", " "], 2, "--reason is empty"),
        (["/"], 2, "--reason"),
        (["/", "--reason", "so"], 1, "lies in no folder of a pipeline"),
        (["1", "--reason", "so", "--config", "none.yaml"], 2, "none.yaml: cannot be read"),
    ],
)
def test_wrong_usage(words: list[str], code: int, says: str) -> None:
    result = CliRunner().invoke(main, ["bless", *words])
    assert (result.exit_code, "Traceback" in result.output) == (code, False)
    assert says in result.output
