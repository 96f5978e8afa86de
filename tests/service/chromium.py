"""Drives a real headless Chromium over its debugging pipe: no driver program, no socket, no library."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import queue
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["Chromium", "Tab"]

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--no-default-browser-check", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
_PATIENCE_S = 60.0


class Chromium:
    """One browser process with an empty profile below `folder`; close it, or use it as a context."""

    def __init__(self, program: str, folder: Path) -> None:
        command_read, self._write = os.pipe()
        self._read, event_write = os.pipe()
        # The pipe is file descriptors 3 (commands to the browser) and 4 (answers and events from it).
        plumbing = f'exec "$0" "$@" 3<&{command_read} 4>&{event_write}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", plumbing, program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(command_read, event_write),
        )  # fmt: skip
        os.close(command_read)
        os.close(event_write)
        self._numbers = itertools.count(1)
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and everything that it started."""
        with contextlib.suppress(Exception):
            self.send("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        os.close(self._write)
        os.close(self._read)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call `method` of the DevTools protocol and wait for its result."""
        number = next(self._numbers)
        self._answers[number] = queue.Queue()
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answer = self._answers[number].get(timeout=_PATIENCE_S)
        del self._answers[number]
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _listen(self) -> None:
        kept = b""
        while chunk := os.read(self._read, 1 << 16):
            *messages, kept = (kept + chunk).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers[message["id"]].put(message)
                else:
                    self.events.setdefault(message.get("sessionId", ""), []).append(message)

    def open(self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False, zone: str = "UTC") -> Tab:
        """A new tab on `url`, in a profile part of its own, of that size, colour scheme and time zone."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        tab = Tab(self, self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"], target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.send(f"{domain}.enable")
        tab.send("Emulation.setTimezoneOverride", timezoneId=zone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.send("Emulation.setEmulatedMedia", features=[scheme])
        tab.resize(width, height)
        tab.send("Page.navigate", url=url)
        return tab


class Tab:
    """One page; what it logged, requested and shows."""

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call `method` on this tab."""
        return self._browser.send(method, self._session, **parameters)

    def close(self) -> None:
        """Close the tab."""
        self._browser.send("Target.closeTarget", targetId=self._target)

    def resize(self, width: int, height: int) -> None:
        """Give the page that many CSS pixels; below 600 it counts as a phone."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression on the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """What a reader sees of the first match, empty if there is none."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def wait(self, script: str, timeout_s: float = 20.0) -> Any:
        """Wait until the expression is true; its value."""
        end = time.monotonic() + timeout_s
        while not (value := self.run(script)):
            if time.monotonic() > end:
                seen = f"the page says {self.text('main')[:300]!r} and complains {self.complaints()[:2]}"
                raise TimeoutError(f"not within {timeout_s} s: {script}; {seen}")
            time.sleep(0.05)
        return value

    def events(self, method: str) -> list[dict[str, Any]]:
        """Parameters of all events of that name so far."""
        return [e["params"] for e in self._browser.events.get(self._session, []) if e["method"] == method]

    def complaints(self) -> list[str]:
        """Every exception, console error or warning, policy violation and failed load."""
        thrown = [str(e["exceptionDetails"]) for e in self.events("Runtime.exceptionThrown")]
        said = [str(e["args"]) for e in self.events("Runtime.consoleAPICalled") if e["type"] in {"error", "warning"}]
        logged = [str(e["entry"]) for e in self.events("Log.entryAdded") if e["entry"]["level"] in {"error", "warning"}]
        return thrown + said + logged

    def requests(self) -> list[str]:
        """The address of every request that the page made."""
        return [str(e["request"]["url"]) for e in self.events("Network.requestWillBeSent")]

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """Write what the page looks like as PNG."""
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path
