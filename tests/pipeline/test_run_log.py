"""What is said in a run is found in the log of the node that was at work."""

from __future__ import annotations

import logging
import os
import sys

import tensorflow as tf

from pipeline.run_log import run_log


def test_each_node_has_a_log_of_its_own(tmp_path, capsys):
    with run_log(tmp_path) as log:
        say = logging.getLogger("efficientdet.any").info
        say("before")
        for node in ("Trainer", "Pusher"):
            logging.info("Component %s is running.", node)
            say("in %s", node)
            logging.info("Component %s is finished.", node)
            say("between")
    folder = log.path.with_suffix("")
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert sorted(texts) == ["Pusher.log", "Trainer.log"]
    for name, text in texts.items():
        assert f"in {name.removesuffix('.log')}" in text
        assert len(text.splitlines()) == 3
    assert len(log.path.read_text().splitlines()) == 9
    shown = capsys.readouterr().err
    assert "in Trainer" in shown
    assert "between" in shown


def test_nodes_are_told_after_tensorflow_has_saved_a_model(tmp_path, capsys):
    """It silences absl meanwhile, by which TFX announces its nodes."""
    with run_log(tmp_path) as log:
        logging.getLogger("absl").info("Component %s is running.", "Exporter")
        tf.saved_model.save(tf.Module(), str(tmp_path / "model"))
        logging.getLogger("absl").info("Component %s is finished.", "Exporter")
    assert "Component Exporter is finished." in log.path.read_text()
    assert "done in" in capsys.readouterr().err


def test_what_cannot_be_said_ends_no_run(tmp_path, capsys):
    with run_log(tmp_path) as log:
        logging.info("Component %s is running.", "Trainer")
        logging.getLogger("any").info("%d items", "three")
        logging.getLogger("efficientdet.any").info("on it goes")
    assert "on it goes" in log.path.with_suffix("").joinpath("Trainer.log").read_text()
    assert "on it goes" in capsys.readouterr().err


def test_a_screen_that_nobody_reads_ends_no_run(tmp_path, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        with run_log(tmp_path) as log:
            for _ in range(2):
                logging.getLogger("efficientdet.any").info("on it goes")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # what is left is written when it is closed
    assert log.path.read_text().count("on it goes") == 2
