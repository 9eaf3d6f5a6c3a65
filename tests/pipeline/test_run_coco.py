"""From COCO to a pulled TFLite on the real runner: killed, unchanged, with another bound, with other data."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKS = ("StatisticsGen", "ImportSchemaGen", "ExampleValidator")
NODES = {"CocoExampleGen", *CHECKS, "Trainer", "Exporter", "Evaluator", "InfraValidator", "Pusher"}


@pytest.fixture(scope="module")
def first(coco_job):
    """The first run, killed hard in four steps one after the other before it may finish."""
    log = coco_job.folder / "killed.log"
    checkpoints = Path(coco_job.config["root"]) / "artifacts" / "checkpoints"
    moments = {
        "CocoExampleGen": lambda: b"CocoExampleGen" in log.read_bytes(),
        "Trainer": lambda: any(checkpoints.glob("*/step-4.index")),
        "Exporter": lambda: b"Exporter" in log.read_bytes(),
        "Pusher": lambda: b"Pusher" in log.read_bytes(),
    }
    killed = {}
    for node, reached in moments.items():
        log.write_bytes(b"")
        process = coco_job.start(log)
        while process.is_alive() and not reached():
            time.sleep(0.02)
        process.kill()
        process.join()
        killed[node] = (process.exitcode, log.read_text())
    return killed, coco_job.run()


def test_a_job_killed_in_every_phase_finishes(first, coco_job, efficientdet):
    killed, (code, summary) = first
    assert {node: code for node, (code, _) in killed.items()} == dict.fromkeys(killed, -signal.SIGKILL)
    assert "going on from step" in killed["Exporter"][1], "the Trainer started anew after the kill"
    assert (code, summary["outcome"]) == (0, "BLESSED"), summary["reasons"]
    assert {node["name"] for node in summary["nodes"]} == NODES
    assert {"CocoExampleGen", "Trainer", "Exporter", "Evaluator"} <= coco_job.cached(summary)
    listed = json.loads(efficientdet("models", "--registry", coco_job.registry, "--json").stdout)
    assert [(model["name"], model["version"]) for model in listed] == [("tiny", "1")]


def test_the_summary_accounts_for_everything(first):
    _, (_, summary) = first
    for kind in ("images", "boxes"):
        entry = summary["ledger"][kind]
        changed = [sum(entry[outcome].values()) for outcome in ("clipped", "merged", "dropped")]
        assert entry["kept"] + sum(changed) == entry["read"]
    assert summary["ledger"]["images"]["read"] == 16
    for variant in ("float", "int8"):
        assert 0 <= summary["metrics"][variant]["AP"] <= 1
        assert len(summary["metrics"][variant]) == 12
    for variant in ("float", "int8"):
        runtime = summary["runtimes"][variant]
        assert (runtime["outcome"], runtime["agreement"]) == ("PASSED", pytest.approx(1, abs=0.02))
        assert runtime["latency_ms"] > 0
    assert summary["model"] == {"name": "tiny", "version": "1", "alias": "champion"}
    assert summary["data"]["anomalies"] == []
    assert summary["data"]["note"] == "no baseline: there is no champion yet"
    assert all(0 <= distance <= 1 for distance in summary["data"]["skew"]["eval"].values())


def test_the_pulled_tflite_detects_without_tensorflow(first, coco_job, efficientdet, tmp_path):
    pulled = efficientdet(
        "pull", "tiny@champion", "--registry", coco_job.registry, "--format", "tflite", "--output", str(tmp_path / "m")
    )
    assert pulled.returncode == 0, pulled.stderr
    images = Path(coco_job.config["source"]["path"]) / "eval"
    inferred = efficientdet(
        "infer", "--model", str(tmp_path / "m/model.tflite"), "--input", str(images), "--output", str(tmp_path / "out"),
        "--score", "0.0",
    )  # fmt: skip
    assert inferred.returncode == 0, inferred.stderr
    found = json.loads((tmp_path / "out/detections.json").read_text())
    assert len(found["images"]) == 4
    assert all(image["detections"] for image in found["images"])


def test_unchanged_everything_is_cached(first, coco_job, efficientdet):
    code, summary = coco_job.run()
    assert (code, summary["outcome"]) == (0, "BLESSED")
    assert coco_job.cached(summary) == NODES
    listed = json.loads(efficientdet("models", "--registry", coco_job.registry, "--json").stdout)
    assert len(listed) == 1


def test_another_bound_judges_again_and_no_more(first, coco_job, efficientdet):
    code, summary = coco_job.run("blessing.min_int8_ap=0.99")
    assert (code, summary["outcome"]) == (3, "NOT_BLESSED")
    assert coco_job.worked(summary) == {"Evaluator", "InfraValidator", "Pusher"}
    assert "0.99" in " ".join(summary["reasons"])
    assert summary["model"] is None
    listed = json.loads(efficientdet("models", "--registry", coco_job.registry, "--json").stdout)
    assert [model["version"] for model in listed] == ["1"]


def test_what_a_person_blessed_is_pushed_by_the_next_run(first, coco_job, efficientdet):
    strict = ("blessing.floors.int8/AP=0.99", "registry.name=overridden")
    code, refused = coco_job.run(*strict)
    assert (code, refused["outcome"], refused["override"]) == (3, "NOT_BLESSED", None)
    done = coco_job.bless(refused["run"], "shipped for the fair")
    assert done.returncode == 0, done.stderr
    code, summary = coco_job.run(*strict)
    assert (code, summary["outcome"]) == (0, "BLESSED"), summary["reasons"]
    assert coco_job.worked(summary) == {"Pusher"}
    assert summary["override"]["reason"] == "shipped for the fair"
    assert summary["model"]["name"] == "overridden"
    code, summary = coco_job.run(*strict)
    assert (code, coco_job.cached(summary)) == (0, NODES)


def test_another_annotation_runs_the_data_steps_again(first, coco_job):
    path = Path(coco_job.config["source"]["path"]) / "annotations/instances_train.json"
    before = path.read_text()
    annotations = json.loads(before)
    annotations["annotations"][0]["bbox"][2] = -1
    path.write_text(json.dumps(annotations))
    code, summary = coco_job.run("source.max_bad_fraction=0")
    path.write_text(before)
    assert code == 1
    assert coco_job.cached(summary) == set()
    assert "instances_train.json" in summary["reasons"][0]
    assert f"annotation {annotations['annotations'][0]['id']}" in summary["reasons"][0]


def test_one_node_alone_runs_again(first, coco_job):
    """On the results of the newest run that has them all, although the cache has its own too."""
    code, summary = coco_job.run(words=("--only", "Exporter"))
    assert (code, summary["outcome"], summary["model"]) == (0, "COMPLETE", None), summary["reasons"]
    assert coco_job.worked(summary) == {"Exporter"}
    assert coco_job.cached(summary) >= {"CocoExampleGen", "Trainer"}
    [run] = coco_job.runs("last")
    assert (run["name"], run["nodes"]) == (summary["run"], summary["nodes"])
    assert len(coco_job.runs()) > 2
    logs = Path(coco_job.config["root"]) / "logs"
    last = max(path for path in logs.iterdir() if path.is_dir())
    assert [path.name for path in last.iterdir()] == ["Exporter.log"]
