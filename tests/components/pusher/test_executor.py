from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from tfx.types import Artifact, standard_artifacts

from components.pusher.executor import Executor
from efficientdet.blessing import Blessing, Rule
from efficientdet.bundle import SAVED_MODEL_FOLDER, TFLITE_FILE, write_manifest
from efficientdet.config import Config
from efficientdet.data import profile
from efficientdet.data.profile import Profile
from efficientdet.errors import DataError, ModelError
from efficientdet.infra_blessing import InfraBlessing, Runtime
from efficientdet.label_map import LabelMap
from efficientdet.pulled_model import pull
from efficientdet.registry import Registry, open_registry
from efficientdet.registry.promotion import promote, promotions, rollback

LABELS = LabelMap.from_names(["cat", "dog"])
PROFILES = {"train": Profile(classes=Counter(cat=3, dog=1)), "eval": Profile(classes=Counter(dog=2))}
THRESHOLDS = {"float": {"cat": 0.4}, "int8": {"cat": 0.3}}
METRICS = {"float": {"AP": 0.6, "APs": None}, "int8": {"AP": 0.59, "APs": None}}
Push = Callable[..., Artifact]


@pytest.fixture
def push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_registry: Callable[[Path], Registry]) -> Push:
    """Runs the executor on artifacts as the Exporter, Evaluator and example generation leave them."""
    monkeypatch.setenv("EFFICIENTDET_COMMIT", "c0ffee")
    new_registry(tmp_path / "registry")

    def run(
        blessed: bool = True,
        content: str = "weights",
        labels: LabelMap = LABELS,
        counted: bool = False,
        overridden: str = "",
        runs: bool = True,
        alias: str = "champion",
        baseline: str = "",
        **tags: str,
    ) -> Artifact:
        inputs = {
            "model": [write_model(tmp_path / "model", content)],
            "blessing": [write_blessing(tmp_path / "blessing", blessed, overridden, baseline)],
            "infra_blessing": [write_infra_blessing(tmp_path / "infra_blessing", runs)],
            "evaluation": [write_evaluation(tmp_path / "evaluation")],
            "examples": [write_examples(tmp_path / "examples", labels)],
        }
        if counted:
            inputs["statistics"] = [write_statistics(tmp_path / "statistics")]
        pushed = artifact(standard_artifacts.PushedModel, tmp_path / "pushed")
        properties = {
            "registry": json.dumps({"uri": str(tmp_path / "registry"), "name": "pets", "alias": alias}),
            "tags": json.dumps({"data": "f00", **tags}),
            "fingerprint": "",
        }
        Executor().Do(inputs, {"pushed_model": [pushed]}, properties)
        return pushed

    return run


def artifact(kind: type[Artifact], folder: Path) -> Artifact:
    folder.mkdir(exist_ok=True)
    made = kind()
    made.uri = str(folder)
    return made


def write_model(folder: Path, content: str) -> Artifact:
    model = artifact(standard_artifacts.Model, folder)
    (folder / SAVED_MODEL_FOLDER).mkdir(exist_ok=True)
    files = {
        f"{SAVED_MODEL_FOLDER}/saved_model.pb": content,
        TFLITE_FILE: content,
        "config.yaml": Config().to_yaml(),
        "label_map.json": LABELS.to_json(),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    write_manifest(folder)
    return model


def write_blessing(folder: Path, blessed: bool, overridden: str, baseline: str) -> Artifact:
    blessing = artifact(standard_artifacts.ModelBlessing, folder)
    rule = Rule(
        "floors.float/AP", 0.6, 0.5 if blessed else 0.7, "PASSED" if blessed else "FAILED", "float AP 0.6, floor"
    )
    record = Blessing((rule,), "eval", 12, 12, METRICS, baseline=baseline, split_identity="5ee")
    if overridden:
        record = record.overrule("ann@desk", datetime(2024, 5, 4, 12, tzinfo=UTC), overridden)
    record.write(folder)
    (folder / ("BLESSED" if record.blessed else "NOT_BLESSED")).touch()
    return blessing


def write_infra_blessing(folder: Path, runs: bool) -> Artifact:
    blessing = artifact(standard_artifacts.InfraBlessing, folder)
    outcome, reason = ("PASSED", "") if runs else ("FAILED", "int8: crashed with SIGSEGV (Segmentation fault)")
    verdict = InfraBlessing((Runtime("int8", outcome, reason, 7),), 16, 1, "a CPU")
    verdict.write(folder)
    (folder / verdict.outcome).touch()
    return blessing


def write_evaluation(folder: Path) -> Artifact:
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder)
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    (folder / "thresholds.json").write_text(json.dumps(THRESHOLDS))
    (folder / "report.html").write_text("<!doctype html>")
    return evaluation


def write_examples(folder: Path, labels: LabelMap) -> Artifact:
    examples = artifact(standard_artifacts.Examples, folder)
    (folder / "label_map.json").write_text(labels.to_json())
    (folder / "ledger.json").write_text("{}")
    return examples


def write_statistics(folder: Path) -> Artifact:
    statistics = artifact(standard_artifacts.ExampleStatistics, folder)
    (folder / profile.FILE_NAME).write_text(profile.to_json(PROFILES))
    return statistics


def pushed_json(pushed: Artifact) -> dict[str, Any]:
    return json.loads((Path(pushed.uri) / "pushed.json").read_text())


def test_a_blessed_model_becomes_the_champion(push: Push, tmp_path: Path) -> None:
    pushed = push()
    registry = open_registry(tmp_path / "registry")
    reason = f"blessed, registered in {registry.uri}"
    assert pushed_json(pushed) == {
        "pushed": True,
        "name": "pets",
        "version": "1",
        "alias": "champion",
        "reason": reason,
    }
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("version") == "1"
    champion = registry.get("pets")
    assert champion.metrics == METRICS
    assert champion.tags == {
        "architecture": "efficientdet-lite0",
        "label_map": LABELS.hash,
        "blessing": "BLESSED",
        "baseline": "",
        "champion": "",
        "split": "eval",
        "split_identity": "5ee",
        "images": "12 of 12",
        "thresholds": "documents/thresholds.json",
        "data": "f00",
        "commit": "c0ffee",
    }
    registry.fetch("pets", "champion", tmp_path / "fetched", only=["documents"])
    documents = {path.name for path in (tmp_path / "fetched" / "documents").iterdir()}
    verdicts = {"blessing.json", "infra_blessing.json"}
    assert documents == verdicts | {
        "metrics.json",
        "ledger.json",
        "thresholds.json",
        "report.html",
        "model_card.md",
    }
    assert json.loads((tmp_path / "fetched" / champion.tags["thresholds"]).read_text()) == THRESHOLDS
    uri = f"sqlite:///{tmp_path / 'registry' / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    shown = client.get_model_version_by_alias("pets", "champion")
    assert shown.tags["thresholds"] in {file.path for file in client.list_artifacts(shown.run_id, "documents")}


def test_a_card_is_pulled_with_the_model_and_stands_on_its_page(push: Push, tmp_path: Path) -> None:
    push(counted=True, license="Apache-2.0")
    registry = open_registry(tmp_path / "registry")
    pull(registry, "pets", tmp_path / "pulled")
    card = (tmp_path / "pulled/model_card.md").read_text()
    assert "| cat | 0.400 | 0.300 | 3 | 0 |" in card
    assert "Apache-2.0" in card
    assert "| commit of the code | `c0ffee` |" in card
    uri = f"sqlite:///{tmp_path / 'registry' / 'mlflow.db'}"
    page = MlflowClient(tracking_uri=uri, registry_uri=uri).get_model_version_by_alias("pets", "champion")
    assert page.description == card


def test_the_profile_of_the_data_travels_with_the_version(push: Push, tmp_path: Path) -> None:
    push(counted=True)
    registry = open_registry(tmp_path / "registry")
    champion = registry.get("pets")
    registry.fetch("pets", champion.version, tmp_path / "fetched", only=[champion.tags[profile.TAG]])
    assert profile.load(tmp_path / "fetched" / champion.tags[profile.TAG]) == PROFILES


def test_what_is_not_blessed_is_not_registered(push: Push, tmp_path: Path) -> None:
    pushed = push(blessed=False)
    assert pushed_json(pushed) == {"pushed": False, "reason": "float AP 0.6, floor"}
    assert pushed.get_int_custom_property("pushed") == 0
    assert open_registry(tmp_path / "registry").versions() == []


def test_what_a_person_blessed_is_registered_with_the_verdict_and_the_reason(push: Push, tmp_path: Path) -> None:
    pushed = pushed_json(push(blessed=False, overridden="shipped for the fair"))
    how = "overridden by ann@desk at 2024-05-04T12:00:00+00:00: shipped for the fair"
    assert pushed["reason"].startswith(f"{how}, registered in ")
    registry = open_registry(tmp_path / "registry")
    champion = registry.get("pets")
    assert (champion.tags["blessing"], champion.tags["override"]) == ("NOT_BLESSED", how)
    registry.fetch("pets", "champion", tmp_path / "fetched", only=["documents"])
    assert Blessing.load(tmp_path / "fetched" / "documents").override.reason == "shipped for the fair"


def test_a_blessing_that_contradicts_itself_is_not_pushed(push: Push, tmp_path: Path) -> None:
    push(blessed=False)
    (tmp_path / "blessing" / "BLESSED").touch()
    with pytest.raises(DataError, match=r"blessing\.json: does not say what the BLESSED file beside it says"):
        push(blessed=False)


@pytest.mark.parametrize("runs", [True, False])
def test_an_infra_blessing_that_contradicts_itself_is_not_pushed(push: Push, tmp_path: Path, runs: bool) -> None:
    (tmp_path / "infra_blessing").mkdir()
    sign = tmp_path / "infra_blessing" / "INFRA_BLESSED"
    sign.mkdir() if runs else sign.touch()
    with pytest.raises(DataError, match=r"infra_blessing\.json: does not say what the INFRA_BLESSED file beside it"):
        push(runs=runs)
    assert open_registry(tmp_path / "registry").versions() == []


@pytest.mark.parametrize("blessed", [True, False])
def test_what_does_not_run_is_not_registered(push: Push, tmp_path: Path, blessed: bool) -> None:
    crashed = "int8: crashed with SIGSEGV (Segmentation fault)"
    reason = crashed if blessed else f"float AP 0.6, floor; {crashed}"
    assert pushed_json(push(blessed=blessed, runs=False)) == {"pushed": False, "reason": reason}
    assert open_registry(tmp_path / "registry").versions() == []


def test_pushing_again_makes_no_second_version(push: Push, tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "registry")
    assert [pushed_json(push(content=text))["version"] for text in ("a", "a", "b", "b")] == ["1", "1", "2", "2"]
    held = [(version.version, version.aliases) for version in registry.versions()]
    assert held == [("2", ("champion",)), ("1", ("previous",))]


def test_a_rollback_is_not_undone_by_the_same_push(push: Push, tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "registry")
    push(content="a")
    push(content="b")
    back = rollback(registry, "pets", "ann@desk", "misses bicycles")
    again = pushed_json(push(content="b"))
    assert again == {
        "pushed": False,
        "reason": (
            f"pets@2 was the champion until ann@desk rolled back to 1 at {back.at.isoformat(timespec='seconds')}: "
            "misses bicycles; `efficientdet-pipeline promote pets@2 --reason TEXT` brings it back"
        ),
    }
    assert registry.get("pets").version == "1"
    push(content="c", alias="candidate")
    registry.set_alias("pets", "champion", "3")
    assert "until somebody set the alias on 3 at" in pushed_json(push(content="a"))["reason"]
    assert registry.get("pets").version == "3"
    assert pushed_json(push(content="c"))["pushed"], "it is the champion"


def test_a_champion_that_came_meanwhile_is_not_overtaken_unseen(push: Push, tmp_path: Path) -> None:
    push(inputs="a", baseline="")
    late = pushed_json(push(content="better", inputs="b", baseline=""))
    assert not late["pushed"]
    assert late["reason"].startswith("pets@1 became champion while this model was judged against another")
    assert len(open_registry(tmp_path / "registry").versions("pets")) == 1
    assert pushed_json(push(content="better", inputs="b", baseline="1"))["version"] == "2"
    assert open_registry(tmp_path / "registry").get("pets").tags["baseline"] == "1"
    assert pushed_json(push(content="better", inputs="b", baseline=""))["pushed"], "its own model is no rival"


def test_a_champion_is_promoted_on_the_record(push: Push, tmp_path: Path) -> None:
    for text, said in (("a", ""), ("b", "the floor was wrong"), ("b", "the floor was wrong")):
        push(content=text, blessed=not said, overridden=said)
    registry = open_registry(tmp_path / "registry")
    first, second = promotions(registry, "pets")
    assert (first.version, first.before, first.reason) == ("1", None, "blessed")
    assert (second.version, second.before) == ("2", "1")
    assert "the floor was wrong" in second.reason
    assert registry.get("pets", "previous").version == "1"


def test_a_candidate_is_judged_against_the_champion_and_waits(push: Push, tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "registry")
    push(inputs="a", baseline="")
    assert pushed_json(push(content="b", alias="candidate", inputs="b", baseline="1"))["alias"] == "candidate"
    assert pushed_json(push(content="c", alias="candidate", inputs="c", baseline="1"))["version"] == "3"
    assert [version.aliases for version in registry.versions("pets")] == [("candidate",), (), ("champion",)]
    promote(registry, "pets", "candidate", "ann", "tried it")
    assert not pushed_json(push(content="d", alias="candidate", inputs="d", baseline="1"))["pushed"]
    push(content="c", alias="candidate", inputs="c", baseline="1")
    assert registry.get("pets", "3").aliases == ("champion",), "the champion is no candidate when its run is repeated"


def test_killed_and_run_again_it_finishes(push: Push, tmp_path: Path) -> None:
    def strike(event: str, arguments: tuple[object, ...]) -> None:
        if event == "shutil.copystat" and str(arguments[0]).endswith("ledger.json"):
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        sys.addaudithook(strike)
        push()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (tmp_path / "pushed" / "pushed.json").exists()
    assert pushed_json(push())["version"] == "1"
    [version] = open_registry(tmp_path / "registry").versions()
    assert version.aliases == ("champion",)


def test_a_model_of_other_classes_is_refused(push: Push, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its label map is not that of"):
        push(labels=LabelMap.from_names(["dog", "cat"]))
    assert open_registry(tmp_path / "registry").versions() == []
