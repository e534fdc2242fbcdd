"""Dagster's web interface in a real browser, behind the guard and with a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.app.dashboard.viewer import chromium
from tests.system.demo import Demo, running_demo
from tests.waiting import eventually_sync

pytestmark = [pytest.mark.proof, pytest.mark.browser, pytest.mark.system, pytest.mark.timeout(400)]

TOKEN = "t" * 24
PATIENCE_S = 60
OPEN_SUBSCRIPTIONS = """
    const done = arguments[arguments.length - 1];
    const socket = new WebSocket(`ws://${location.host}/graphql`, "graphql-ws");
    socket.onopen = () => socket.send(JSON.stringify({type: "connection_init", payload: {}}));
    socket.onmessage = (message) => { socket.close(); done(message.data); };
    socket.onerror = () => done("refused");
"""
"""As its pages do. They poll where it is refused."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("demo"), COINWATCH_DAGSTER_TOKEN=TOKEN) as demo:
        yield demo


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path) as driver:
        driver.set_window_size(1440, 1000)
        yield driver


def shows(browser: webdriver.Chrome, text: str) -> bool:
    return text in browser.find_element(By.TAG_NAME, "body").text


def test_run_is_launched_and_its_log_is_shown(demo: Demo, browser: webdriver.Chrome) -> None:
    port = demo.ports[3]
    assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 401
    browser.get(f"http://any:{TOKEN}@127.0.0.1:{port}/overview")  # as typed into the browser's prompt
    assert browser.get_cookie("coinwatch_dagster")
    assert "connection_ack" in browser.execute_async_script(OPEN_SUBSCRIPTIONS)

    browser.get(f"http://127.0.0.1:{port}/locations/coinwatch/jobs/report_gaps/playground")
    launch = "//button[contains(., 'Launch Run') and not(@disabled)]"
    eventually_sync(lambda: browser.find_element(By.XPATH, launch), PATIENCE_S).click()
    eventually_sync(lambda: "/runs/" in browser.current_url, PATIENCE_S)
    eventually_sync(lambda: shows(browser, "RUN_SUCCESS"), PATIENCE_S)
    refused = [
        entry["message"]
        for entry in browser.get_log("browser")  # type: ignore[no-untyped-call]
        if any(f"status of {code}" in entry["message"] for code in (400, 401, 403, 405, 415))
        or "WebSocket" in entry["message"]
    ]
    assert refused == []
