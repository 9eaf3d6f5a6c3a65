"""A headless Chromium, spoken to over a pipe in its DevTools protocol."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--remote-debugging-pipe",
)
PATIENCE = 120.0


class Chromium:
    """One page of a browser.

    Attributes:
      events: everything that the browser reported so far, as the protocol has it.
    """

    def __init__(self, program: str, width: int = 1280, height: int = 860) -> None:
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # the browser reads commands from descriptor 3 and answers on 4
        shell = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        window = (f"--user-data-dir={self._profile}", f"--window-size={width},{height}", "about:blank")
        with (Path(self._profile) / "log").open("w") as log:
            command = ["bash", "-c", shell, program, *FLAGS, *window]
            self._process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdout=log, stderr=log)
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out, self._rest = ours_in, ours_out, b""
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        pages = [t for t in self._call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self._session = self._call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, address: str) -> None:
        """Goes to a page; what was reported of the one before is forgotten."""
        self.events.clear()
        self.call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + PATIENCE
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < end, f"{expression}: not within {PATIENCE} s; {self.errors()}"
            time.sleep(0.05)
        return value

    def errors(self) -> list[Any]:
        """Errors in the console, and exceptions that nothing caught."""
        found = []
        for event in self.events:
            said = event["params"]
            exception = event["method"] == "Runtime.exceptionThrown"
            if exception or said.get("type") == "error" or said.get("entry", {}).get("level") == "error":
                found.append(said)
        return found

    def requests(self) -> list[str]:
        """Every address that the page asked for, however it ended."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer of the page to a command of the protocol."""
        return self._call(method, self._session, **parameters)

    def close(self) -> None:
        """Ends the browser."""
        self._call("Browser.close")
        self._process.wait(PATIENCE)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        content = json.dumps(command).encode() + b"\0"
        while content:
            content = content[os.write(self._out, content) :]
        while (answer := self._next()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 16)
            assert part, f"Chromium ended: {(Path(self._profile) / 'log').read_text()[-2000:]}"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
