"""A headless Chromium, driven over a pair of pipes with the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 60
"""Seconds without a word from the browser until it is given up."""
# The protocol's pipes have the numbers 3 and 4, which the parent may use for something else.
_LAUNCH = (
    "import os, sys; read, write = os.dup(int(sys.argv[1])), os.dup(int(sys.argv[2])); "
    "high = [os.dup2(read, 103), os.dup2(write, 104)]; os.dup2(103, 3); os.dup2(104, 4); "
    "os.execvp(sys.argv[3], sys.argv[3:])"
)


def find_browser() -> str | None:
    """Return the program of an installed browser."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page of a browser, and what it complained of."""

    def __init__(self, send: Callable[[bytes], None], receive: Callable[[], dict[str, Any]]) -> None:
        self.complaints: list[str] = []
        self._send, self._receive = send, receive
        self._count = 0
        self._session = ""
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._send(json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode())
        while (reply := self._receive()).get("id") != self._count:
            self._note(reply)
        assert "error" not in reply, f"{method}: {reply['error']}"
        return reply["result"]

    def open(self, page: Path, width: int, scheme: str = "light") -> None:
        """Open a page at a width, in a colour scheme, and draw all its charts."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.set_scheme(scheme)
        self._loaded = False
        self.call("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._note(self._receive())
        self.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        self.evaluate(
            "new Promise(done => { const look = () => charts.every(chart => chart.querySelector('svg, canvas')) "
            "? done(true) : requestAnimationFrame(look); look(); })"
        )

    def set_scheme(self, scheme: str) -> None:
        """Emulate a preference for light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, waiting for promises."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str, shift: bool = False) -> None:
        """Press a key such as ``Tab`` or ``ArrowDown``."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key], "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", **({"text": "\r"} if key == "Enter" else {}), **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def shoot(self, out: Path, top: int = 0, height: int = 900) -> None:
        """Write a picture of the page from `top` on."""
        width = self.call("Page.getLayoutMetrics")["cssVisualViewport"]["clientWidth"]
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        out.write_bytes(base64.b64decode(data))

    def _note(self, event: dict[str, Any]) -> None:
        method, told = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in {"error", "warning", "assert"}:
            self.complaints.append(json.dumps(told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("file:", "data:")):
            self.complaints.append(f"asked for {told['request']['url']}")


@contextmanager
def browse(program: str, folder: Path) -> Generator[Page]:
    """Start a browser and end it.

    Args:
        program: what `find_browser` returned.
        folder: for its profile.
    """
    read, its_write = os.pipe()
    its_read, write = os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    options += [
        f"--user-data-dir={folder}",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-extensions",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", _LAUNCH, str(its_read), str(its_write), program, *options],
        pass_fds=(its_read, its_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_read)
    os.close(its_write)
    pending = bytearray()

    def receive() -> dict[str, Any]:
        while b"\0" not in pending:
            ready, _, _ = select([read], [], [], _PATIENCE)
            assert ready, "the browser says nothing"
            data = os.read(read, 1 << 16)
            assert data, "the browser ended"
            pending.extend(data)
        message, _, rest = bytes(pending).partition(b"\0")
        pending[:] = rest
        return json.loads(message)

    def send(message: bytes) -> None:
        remaining = memoryview(message + b"\0")
        while remaining:
            remaining = remaining[os.write(write, remaining) :]

    try:
        yield Page(send, receive)
    finally:
        os.close(write)
        os.close(read)
        process.terminate()
        process.wait(timeout=_PATIENCE)
