"""A real browser for tests: Chromium of the system, headless, drawing by software, without a network."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
# Without these, WebGL is not there or the canvas stays blank; the sandbox needs rights that containers do not give.
_FLAGS = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser; tests are skipped, saying so, where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium, or make test, which tries that")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Opened:
    """A page in a browser, and all that it said and asked for."""

    def __init__(self, browser: Any, width: int, height: int, offline: bool) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        self.context.set_offline(offline)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a function of JavaScript, with ``arguments`` as a list."""
        return self.page.evaluate(script, list(arguments))

    def click(self, x: float, y: float) -> None:
        """Click at pixels of the window."""
        self.page.mouse.click(x, y)

    def canvas(self) -> NDArray[np.uint8]:
        """(H, W, 4) what is drawn in 3D now, without panels."""
        address = self.run("() => { window.page.stage.draw(); return window.page.stage.canvas.toDataURL(); }")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGBA"))

    def through(self, index: int) -> tuple[float, float, float, float]:
        """Look through the lens of a view: left, top, width, height of its photo on the canvas."""
        frame: list[float] = self.run(
            """([index]) => { const { stage, manifest } = window.page; const view = manifest.views[index];
            window.page.choose(index); stage.flyToView(view, true); stage.draw(); return stage.frameOf(view); }""",
            index,
        )
        return frame[0], frame[1], frame[2], frame[3]

    def wait(self, script: str, seconds: float = 20.0) -> None:
        """Until a function of JavaScript says so. (Playwright's own needs eval, which the page forbids.)"""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"not within {seconds} s: {script}"
            time.sleep(0.05)

    def text(self, element: str) -> str:
        """What an element says, by its id."""
        return str(self.page.inner_text(f"#{element}"))


@contextmanager
def opened(browser: Any, address: str, width: int = 1000, height: int = 640, offline: bool = True) -> Iterator[Opened]:
    """A page whose parts are all there. ``address`` is a URL."""
    page = Opened(browser, width, height, offline)
    try:
        page.page.goto(address)
        page.page.wait_for_selector("body[data-done]", timeout=60_000)
        yield page
    finally:
        page.context.close()


def address_of(path: Path) -> str:
    """The file: URL of a page on disk."""
    return path.resolve().as_uri()
