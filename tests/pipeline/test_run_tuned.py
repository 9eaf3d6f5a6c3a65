"""A pipeline that searches its hyperparameters: killed in a trial, gone on with, unchanged, with one trial more."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TUNING = {
    "trials": 2,
    "max_steps": 4,
    "learning_rate": [0.01, 0.1],
    "jitter_min": None,
    "jitter_max": None,
    "aspect_ratios": ["configured", "suggested"],
}
SMALL = {"image_size": 64}
FAST = {"preflight": False, "eval_epochs": 0, "checkpoint_steps": 1, "max_steps": 4}


@pytest.fixture(scope="module")
def job(coco_job, pipeline_job):
    """The tiny job with a search of two trials."""
    detector = coco_job.config["detector"]
    small = {name: {**detector[name], **more} for name, more in (("model", SMALL), ("training", FAST))}
    return pipeline_job(coco_job.folder, {**coco_job.config, "tuning": TUNING, "detector": {**detector, **small}})


@pytest.fixture(scope="module")
def trials(job) -> Path:
    """Below it lie the trials of each training, by the content of the examples."""
    return Path(job.config["root"]) / "artifacts" / "checkpoints"


def outcomes(trials: Path) -> dict[str, int]:
    """The folders of the trials that are done, with the time when they were."""
    return {path.parent.name: path.stat().st_mtime_ns for path in trials.glob("*/trials/*/*/outcome.json")}


@pytest.fixture(scope="module")
def first(job, trials):
    """The first run, killed hard in its second trial; what was done by then; and the run after it."""
    log = job.folder / "killed.log"
    process = job.start(log)
    checkpoint = "*/trials/*/*/checkpoints/step-2.index"
    while process.is_alive() and not (outcomes(trials) and any(trials.glob(checkpoint))):
        time.sleep(0.02)
    process.kill()
    process.join()
    done = outcomes(trials)
    return process.exitcode, done, job.run()


def test_a_killed_search_goes_on(first, job, trials):
    code, done, (final, summary) = first
    assert code == -signal.SIGKILL
    assert len(done) == 1
    assert (final, summary["outcome"]) == (0, "BLESSED"), summary["reasons"]
    after = outcomes(trials)
    assert len(after) == 2
    assert done.items() <= after.items(), "the first trial was trained again"
    screen = (job.folder / "screen.log").read_text()
    assert "going on from step" in screen
    assert "trial 2 of 2: AP" in screen
    [saved] = (trials.parent / "Trainer/model").glob("*/Format-Serving/config.yaml")
    [results] = (trials.parent / "Tuner/tuner_results").glob("*/tuner_results.json")
    best = max(json.loads(results.read_text()), key=lambda trial: trial["score"])
    assert f"learning_rate: {best['training.learning_rate']}" in saved.read_text()


def test_unchanged_everything_is_cached(first, job):
    _, summary = job.run()
    assert job.worked(summary) == set()
    assert {"Tuner", "Trainer"} <= job.cached(summary)


def test_one_trial_more_trains_one_trial_more(first, job, trials):
    before = outcomes(trials)
    _, summary = job.run("tuning.trials=3")
    assert {"Tuner", "Trainer"} <= job.worked(summary)
    after = outcomes(trials)
    assert before.items() <= after.items()
    assert len(after) == 3
