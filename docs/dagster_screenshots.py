"""Pictures of Dagster for the documentation, of real runs: ``python -m docs.dagster_screenshots``.

Starts the demo in a folder of its own, materialises every asset, backfills candles as the web UI does, and
takes ``docs/images/dagster-*.png`` with Chromium. Takes five to fifteen minutes.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from app.cli.runner.parts import LOCATION
from coinwatch.times import now_us, utc_day
from warehouse.embedded.ports import free_port

IMAGES = Path(__file__).with_name("images")
WIDTH, HEIGHT = 1440, 900
COLOURS = 128
"""Enough for pages of text and flat areas, and a quarter of the bytes."""
HOST = "127.0.0.1"
MARKETS = (
    *("binance:BTC-USDT", "binance:ETH-USDT", "bybit:BTC-USDT", "coinbase:BTC-USD"),
    *("gateio:ETH-USDT", "htx:BTC-USDT", "kraken:BTC-USD", "okx:BTC-USDT"),
)
HISTORY, BACKFILLED = timedelta(days=45), timedelta(days=21)
ONCE = {
    "refresh_markets": None,
    "report_gaps": None,
    "make_partitions": None,
    "retain": None,
    "check_candles": timedelta(days=2),
}
"""Jobs that the clock would start too late for a picture, and which day before today they are for."""
COMPLETED = ("COMPLETED", "COMPLETED_SUCCESS")
GROUPS = ("market_data", "fundamentals", "sentiment", "maintenance")
SETTLES_WITHIN_S = 6.0

T = TypeVar("T")


def wait_for(what: str, check: Callable[[], T], timeout_s: float) -> T:
    """The first truthy answer of ``check``. Raises TimeoutError, which names ``what``."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError, WebDriverException):
            if answer := check():
                return answer
        time.sleep(0.5)
    raise TimeoutError(f"no {what} within {timeout_s:g} s")


@contextmanager
def demo(folder: Path, settings: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The demo on free ports, with ``settings``; yields the address of each of its parts."""
    names = ("ingest", "alerts", "dashboard", "dagster", "simulator_ws", "simulator_rest")
    ports = {name: str(free_port(HOST)) for name in names}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COINWATCH_")} | {
        "COINWATCH_DATA_DIR": str(folder),
        **settings,
        **{f"COINWATCH_{name.upper()}_PORT": port for name, port in ports.items()},
    }
    with (folder / "up.log").open("w") as log:
        program = subprocess.Popen(
            [str(Path(sys.executable).parent / "coinwatch"), "up", "--demo"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield {name: f"http://{HOST}:{port}" for name, port in ports.items()}
        finally:
            program.send_signal(signal.SIGINT)
            program.wait(60)


class Dagster:
    """Dagster's GraphQL, which its web UI uses."""

    def __init__(self, root: str) -> None:
        self._client = httpx.Client(base_url=root, timeout=60, trust_env=False)

    def is_ready(self) -> bool:
        """Whether it has loaded our definitions."""
        answer = self.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
        return bool(answer["repositoriesOrError"].get("nodes"))

    def launch(self, job: str, tags: Mapping[str, str]) -> str:
        """Start a run of a job; returns its id."""
        params = {
            "selector": {
                "repositoryLocationName": LOCATION,
                "repositoryName": "__repository__",
                "jobName": job,
            },
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        query = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
        return str(self.ask(query, params=params)["launchRun"]["run"]["runId"])

    def backfill(self, asset: str, days: list[str], title: str) -> str:
        """Ask for days of an asset; returns the backfill's id."""
        params = {"assetSelection": [{"path": [asset]}], "partitionNames": days, "title": title}
        query = """mutation($params: LaunchBackfillParams!) {
            launchPartitionBackfill(backfillParams: $params) { __typename
            ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
        return str(self.ask(query, params=params)["launchPartitionBackfill"]["backfillId"])

    def backfill_status(self, backfill_id: str) -> str:
        query = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
            ... on PartitionBackfill { status } } }"""
        return str(self.ask(query, id=backfill_id)["partitionBackfillOrError"]["status"])

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        """Runs of a filter, newest first."""
        query = """query($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs {
            results { runId status jobName } } } }"""
        return list(self.ask(query, filter=wanted)["runsOrError"]["results"])

    def missing(self) -> list[str]:
        """Assets never materialized."""
        answer = self.ask("{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId } } }")
        return [
            node["assetKey"]["path"][-1] for node in answer["assetNodes"] if not node["assetMaterializations"]
        ]

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        response = self._client.post("/graphql", json={"query": query, "variables": variables})
        response.raise_for_status()
        answer = response.json()
        if answer.get("errors"):
            raise RuntimeError(f"Dagster: {answer['errors']}")
        return dict(answer["data"])


class Camera:
    """Chromium, and pictures of what it shows."""

    def __init__(self, root: str, folder: Path) -> None:
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        for flag in (
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={folder}"),
        ):
            options.add_argument(flag)
        self.browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self._root = root

    def open(self, path: str, *texts: str, height: int = HEIGHT, timeout_s: float = 60) -> None:
        """Show a page until it has all ``texts``, ``height`` pixels of it."""
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        wait_for("page", lambda: self._gets(path), timeout_s)
        wait_for(f"{texts} on {path}", lambda: self._shows(texts), timeout_s)

    def _gets(self, path: str) -> bool:
        self.browser.get(self._root + path)
        return True

    def wear(self, theme: str) -> None:
        """Set the system theme, ``light`` or ``dark``."""
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        )

    def _shows(self, texts: tuple[str, ...]) -> bool:
        shown = self.browser.find_element(By.TAG_NAME, "body").text
        return all(text in shown for text in texts)

    def misses(self, text: str) -> bool:
        """Whether the page does not show ``text``."""
        return not self._shows((text,))

    def type(self, placeholder: str, text: str) -> None:
        """Fill in the field with this placeholder."""
        field: WebElement = self.browser.find_element(By.CSS_SELECTOR, f'input[placeholder="{placeholder}"]')
        field.send_keys(text)

    def take(self, name: str) -> None:
        """Save what is shown as ``docs/images/<name>.png``, once nothing has moved for a second.

        A clock moves for ever: after SETTLES_WITHIN_S it is taken as it is.
        """
        shown, deadline = b"", time.monotonic() + SETTLES_WITHIN_S
        while shown != (shown := self.browser.get_screenshot_as_png()) and time.monotonic() < deadline:
            time.sleep(1)
        picture = Image.open(io.BytesIO(shown)).convert("RGB")
        small = picture.quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(IMAGES / f"{name}.png", optimize=True)


def materialise_all(dagster: Dagster) -> None:
    """Start what the clock would start too late, and wait until nothing was never materialised."""
    for job, before in ONCE.items():
        day = (utc_day(now_us()) - before).isoformat() if before else None
        dagster.launch(job, {"dagster/partition": day} if day else {})
    wait_for("materialisation of every asset", lambda: not dagster.missing(), 900)


def photograph_backfill(dagster: Dagster, camera: Camera) -> str:
    """A backfill on its way, and a run of it; returns its last day when all is done."""
    today = utc_day(now_us())
    days = [(today - timedelta(days=n)).isoformat() for n in range(BACKFILLED.days, 0, -1)]
    backfill_id = dagster.backfill("candles_1m", days, "The three weeks before")
    of_it = {"tags": [{"key": "dagster/backfill", "value": backfill_id}]}

    def run_done() -> str | None:
        done = [run["runId"] for run in dagster.runs(**of_it) if run["status"] == "SUCCESS"]
        return done[0] if done else None

    run_id = wait_for("run of the backfill", run_done, 900)
    camera.open(f"/runs/b/{backfill_id}?tab=runs", "candles_1m", "Success", height=620)
    camera.take("dagster-backfill")
    camera.open(f"/runs/{run_id}", "RUN_SUCCESS", height=1000)
    camera.type("Filter…", "stored")
    camera.take("dagster-run")
    wait_for("end of the backfill", lambda: dagster.backfill_status(backfill_id) in COMPLETED, 900)
    return days[-1]


def main() -> None:
    settings = {
        "COINWATCH_MARKETS": ",".join(MARKETS),
        "COINWATCH_HISTORY_START": (utc_day(now_us()) - HISTORY).isoformat(),
    }
    with tempfile.TemporaryDirectory() as name, demo(Path(name), settings) as roots:
        root = roots["dagster"]
        dagster = Dagster(root)
        wait_for("Dagster", dagster.is_ready, 180)
        camera = Camera(root, Path(name) / "browser")
        try:
            materialise_all(dagster)
            day = photograph_backfill(dagster, camera)
            camera.open(f"/assets/candles_1m?view=partitions&partition={day}", "by_market", height=1400)
            camera.take("dagster-partitions")
            groups = ",".join(f"global@global:{group}" for group in GROUPS)
            camera.open(f"/asset-groups?expanded={groups}", "candles_1m", height=1500)
            camera.take("dagster-assets")
        finally:
            camera.browser.quit()


if __name__ == "__main__":
    main()
