"""How a run ended reaches a file or a webhook."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from components.outcome_reporter import Executor, OutcomeReporter, read_outcome
from efficientdet.errors import EfficientDetError

FAILED = {
    "state": "FAILED",
    "pipelineJobResourceName": "projects/1/pipelineJobs/demo-1",
    "pipelineTaskName": "tfx-dag",
    "error": {"code": 9, "message": "Trainer: out of memory"},
}
OUTCOME = {
    "pipeline": "demo",
    "run": "projects/1/pipelineJobs/demo-1",
    "state": "FAILED",
    "error": "Trainer: out of memory",
    "text": "demo: FAILED, Trainer: out of memory (projects/1/pipelineJobs/demo-1)",
}


class Webhook(ThreadingHTTPServer):
    """Keeps what it is told, and answers with `status`."""

    def __init__(self) -> None:
        told: list[tuple[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if not self.server.status:  # type: ignore[attr-defined]
                    self.wfile.write(b"this is not HTTP\r\n\r\n")
                    return
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.append((self.path, json.loads(body)))
                self.send_response(self.server.status)  # type: ignore[attr-defined]
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Keeps the screen clean."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.told, self.status = told, 200
        self.address = f"http://127.0.0.1:{self.server_port}/secret-path"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def report(place: str) -> None:
    Executor().Do({}, {}, {"pipeline": "demo", "report_to": place, "final_status": json.dumps(FAILED)})


def test_a_file_holds_the_outcome(tmp_path: Path):
    report(str(tmp_path / "outcomes/last.json"))
    assert json.loads((tmp_path / "outcomes/last.json").read_text()) == OUTCOME


def test_a_webhook_is_told(webhook: Webhook):
    report(webhook.address)
    assert webhook.told == [("/secret-path", OUTCOME)]


def test_a_webhook_that_refuses_fails_without_its_path(webhook: Webhook):
    webhook.status = 500
    with pytest.raises(EfficientDetError, match=r"webhook at 127\.0\.0\.1 did not take .*HTTP status 500") as caught:
        report(webhook.address)
    assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize("end", ["", " with space", "\n"])
def test_an_answer_or_address_that_is_not_http_fails_without_its_path(webhook: Webhook, end: str):
    webhook.status = 0
    with pytest.raises(EfficientDetError, match=r"the webhook did not take the outcome \(\w+\); check") as caught:
        report(webhook.address + end)
    shown = "".join(traceback.format_exception(caught.value))
    assert "secret-path" not in shown


def test_a_run_that_went_well_has_no_error():
    outcome = read_outcome("demo", '{"state": "SUCCEEDED"}')
    assert (outcome["state"], outcome["error"], outcome["text"]) == ("SUCCEEDED", "", "demo: SUCCEEDED")


def test_the_node_asks_for_the_final_status():
    node = OutcomeReporter("demo", "/reports/demo.json")
    assert node.id == "OutcomeReporter"
    assert type(node.exec_properties["final_status"]).__name__ == "FinalStatusStr"
