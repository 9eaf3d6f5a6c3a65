"""What is said in a run is found in the log of the node that was at work."""

from __future__ import annotations

import logging

from pipeline.run_log import run_log


def test_each_node_has_a_log_of_its_own(tmp_path, capsys):
    with run_log(tmp_path) as full:
        say = logging.getLogger("efficientdet.any").info
        say("before")
        for node in ("Trainer", "Pusher"):
            logging.info("Component %s is running.", node)
            say("in %s", node)
            logging.info("Component %s is finished.", node)
            say("between")
    folder = full.with_suffix("")
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert sorted(texts) == ["Pusher.log", "Trainer.log"]
    for name, text in texts.items():
        assert f"in {name.removesuffix('.log')}" in text
        assert len(text.splitlines()) == 3
    assert len(full.read_text().splitlines()) == 9
    shown = capsys.readouterr().err
    assert "in Trainer" in shown
    assert "between" in shown
