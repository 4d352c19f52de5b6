"""A headless Chromium for tests of web pages, driven through a pipe.

The protocol is Chromium's own (DevTools): messages in JSON, each ended by a zero byte, on the file
descriptors 3 and 4 of the browser.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import suppress

import pytest

CHROMIUM = (
    os.environ.get("CHROMIUM")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --remote-debugging-pipe"
    " --disable-background-networking --disable-component-update --disable-sync"
).split()


class Replaced(AssertionError):
    """The page was replaced by another, or is not complete yet."""


class Browser:
    """One tab of a headless Chromium, as a context; the test is skipped if there is none."""

    def __init__(self, profile):
        if not CHROMIUM:
            pytest.skip("Chromium is not installed (apt install chromium, or set CHROMIUM)")
        self.profile, self.number, self.buffer, self.events = profile, 0, b"", []

    def __enter__(self):
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()

        def connect():
            os.dup2(to_browser, 100)  # 3 or 4 may be one of the others
            os.dup2(from_browser, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=connect,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.session = None
        target = next(
            t for t in self.ask("Target.getTargets")["targetInfos"] if t["type"] == "page"
        )
        attached = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in "Page", "Runtime", "Log", "Network":
            self.ask(f"{domain}.enable")
        return self

    def __exit__(self, *error):
        self.session = None
        with suppress(OSError, AssertionError):
            self.ask("Browser.close")
        os.close(self.write_end)
        os.close(self.read_end)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, method, **params):
        """The answer to a command of the protocol."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise Replaced(answer)
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        """The next message of the browser."""
        while b"\0" not in self.buffer:
            part = os.read(self.read_end, 1 << 20)
            assert part, "Chromium has ended"
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path, *, width=1280, height=900, dark=False):
        """Open a file in a window of that size, with the colours of a dark or a light system."""
        self.resize(width, height)
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self.ask("Page.navigate", url="about:blank")  # otherwise this would be a reload
        self.events.clear()
        self.ask("Page.navigate", url=path.resolve().as_uri())
        self.wait_for_load()

    def resize(self, width, height):
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def wait_for_load(self):
        """Wait until a page that is being loaded is there."""
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())
        time.sleep(0.1)  # images are decoded after the event

    def reload(self):
        """Reload the page, as a user does."""
        self.events = [e for e in self.events if e["method"] != "Page.loadEventFired"]
        self.ask("Page.reload")
        self.wait_for_load()

    def run(self, code):
        """The value of a JavaScript expression in the page, which may be a promise."""
        answer = self.ask(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise Replaced(answer)
        return answer["result"].get("value")

    def press(self, key, code=0):
        """Press a key, such as Tab or ArrowLeft, whose code Windows knows."""
        for kind in "rawKeyDown", "keyUp":
            self.ask(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
            )

    def complaints(self):
        """Errors and warnings on the console, and what the page wanted to load from elsewhere."""
        self.run("0")  # what happened before has arrived by then
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded":
                found.append(str(params["entry"]))
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(str(params["args"]))
            elif event["method"] == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("data:", "file:")):
                    found.append(f"the page wanted {url}")
        return found

    def screenshot(self, path, *, whole=False):
        """Save a picture of the window, or of the whole page."""
        options = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {**size, "scale": 1}
        data = self.ask("Page.captureScreenshot", format="png", **options)["data"]
        path.write_bytes(base64.b64decode(data))
