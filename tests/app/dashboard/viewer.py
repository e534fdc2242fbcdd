"""A person with a browser: headless Chromium of some width and theme, who looks closely."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.conftest import PROJECT
from tests.waiting import eventually_sync

OUTPUT = PROJECT / "test-output"
AXE = PROJECT / "node_modules/axe-core/axe.min.js"
PATIENCE_S = 120.0


class Look(NamedTuple):
    """How wide the window is, and which theme the viewer's system has."""

    width: int
    theme: Literal["light", "dark"]

    def __str__(self) -> str:
        return f"{self.width}-{self.theme}"


LOOKS = (Look(1920, "dark"), Look(390, "light"), Look(1920, "light"), Look(390, "dark"))


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """A browser that sends requests only to the pages it visits."""
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--disable-dev-shm-usage", "--no-proxy-server", f"--user-data-dir={folder / 'browser'}"),
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_script_timeout(PATIENCE_S)
    try:
        yield driver
    finally:
        driver.quit()


class Viewer:
    """Sees one dashboard through one browser."""

    def __init__(self, driver: webdriver.Chrome, root: str, look: Look) -> None:
        self.driver, self.root, self.look = driver, root, look
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": look.theme}]},
        )
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 500},
        )

    def visit(self, path: str) -> None:
        self.driver.get(f"{self.root}/{path}")

    def find(self, selector: str, text: str = "") -> WebElement:
        """The first such element that holds ``text``, as soon as it is there."""
        return eventually_sync(
            lambda: next(
                element
                for element in self.driver.find_elements(By.CSS_SELECTOR, selector)
                if text in element.text
            ),
            timeout_s=PATIENCE_S,
        )

    def text(self, selector: str) -> str:
        """The text of the first such element, as soon as it exists."""
        return eventually_sync(
            lambda: self.driver.find_element(By.CSS_SELECTOR, selector).text, timeout_s=PATIENCE_S
        )

    def changes(self, selector: str) -> None:
        """Wait until the text of the element changes."""
        before = self.text(selector)
        eventually_sync(lambda: self.text(selector) != before, timeout_s=PATIENCE_S)

    def gone(self, selector: str) -> None:
        """Wait until there is no such element."""
        eventually_sync(
            lambda: not self.driver.find_elements(By.CSS_SELECTOR, selector), timeout_s=PATIENCE_S
        )

    def settle(self) -> None:
        """Wait until Streamlit has drawn everything of this run."""
        self.gone("[data-testid='stSkeleton'], [data-testid='stAppViewContainer'][aria-busy='true']")

    def faults(self) -> list[str]:
        """The faults of the page, reported by Streamlit, the console, its width or axe-core."""
        faults = []
        if self.driver.find_elements(By.CSS_SELECTOR, "[data-testid='stException']"):
            faults.append("an exception is shown")
        words = self.driver.find_element(By.TAG_NAME, "body").text
        faults += [word for word in ("could not be drawn", "Traceback") if word in words]
        # Streamlit looks for its server below the page's own path first.
        faults += [
            entry["message"]
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] == "SEVERE" and "/_stcore/" not in entry["message"]
        ]
        for element in ("document.documentElement", "document.querySelector('.stMain')"):
            wide = self.driver.execute_script(f"return {element}.scrollWidth - {element}.clientWidth")
            if wide > 0:
                faults.append(f"{element} is {wide} px wider than the window")
        return faults + self.inaccessible()

    def inaccessible(self) -> list[str]:
        """Serious faults by axe-core, where `.ci/run` or `npm install axe-core` put it."""
        if not AXE.exists():
            return []
        self.driver.execute_script(_axe())
        faults: list[str] = self.driver.execute_async_script(
            """
            const done = arguments[0];
            axe.run(document, {resultTypes: ['violations']}).then(faults => done(faults.violations
                .filter(fault => ['serious', 'critical'].includes(fault.impact))
                .map(fault => fault.id + ': ' + fault.nodes.slice(0, 3)
                    .map(node => node.html.slice(0, 200) + ' ' + node.failureSummary).join(' | '))));
            """
        )
        return faults

    def picture(self, name: str) -> None:
        """Keep what is seen in ``test-output/``."""
        OUTPUT.mkdir(exist_ok=True)
        self.driver.save_screenshot(str(OUTPUT / f"dashboard-{name}-{self.look}.png"))


@cache
def _axe() -> str:
    return AXE.read_text(encoding="utf-8")
