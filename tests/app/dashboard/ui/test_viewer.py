"""What browsers report: anything is accepted, and nothing of it makes a page fail or fills the log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from coinwatch.times import now_us
from tests.app.dashboard.dashboard_server import DashboardProcess, dashboard_process, serve_dashboard
from tests.app.dashboard.raw_viewer import raw_viewer
from tests.app.dashboard.stock import PRICES, Stock
from tests.app.dashboard.viewer import LOOKS, Viewer, chromium
from tests.conftest import PROJECT

ZONES = ("America", "../../etc/passwd", "/etc/passwd", "", "\0", "\n\n\n", "x" * 10_000, "Mars/Base", "ü")


@pytest.fixture
def server(database: URL, tmp_path: Path) -> Iterator[DashboardProcess]:
    """A dashboard with a day of prices."""
    stock = Stock.open(database, now_us())
    stock.day(PRICES)
    stock.close()
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    settings = {"COINWATCH_DATABASE_URL": url, "COINWATCH_MARKETS": ",".join(PRICES)}
    with dashboard_process(tmp_path, settings) as server:
        yield server


def test_no_report_of_a_browser_makes_a_page_fail_or_fills_the_log(server: DashboardProcess) -> None:
    values = [{"timezone": zone} for zone in ZONES] * 4
    values += [{"locale": "x" * 10_000}, {"color_scheme": "sepia"}, {"url": "http://["}, {"url": "\0"}]
    with raw_viewer(server.root) as viewer:
        for context in values:
            shown = viewer.draw(**context)
            assert "cw-price" in shown
            assert "could not be drawn" not in shown
        viewer.draw("&".join(f"symbols={'x' * 500}&p{number}=%00" for number in range(400)))
    lines = server.log().splitlines()
    assert "Traceback" not in server.log()
    assert len([line for line in lines if "unknown time zone" in line]) == 1
    assert len(lines) < 10
    assert max(map(len, lines)) < 1_000


@pytest.mark.browser
@pytest.mark.timeout(400)
def test_pages_are_drawn_for_a_browser_with_an_unknown_zone(database: URL, tmp_path: Path) -> None:
    stock = Stock.open(database, now_us())
    stock.day(PRICES)
    stock.close()
    with serve_dashboard(database, PRICES, tmp_path) as root, chromium(tmp_path) as browser:
        browser.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument",
            {
                "source": "const real = Intl.DateTimeFormat.prototype.resolvedOptions;"
                "Intl.DateTimeFormat.prototype.resolvedOptions = function () {"
                "return {...real.call(this), timeZone: 'America'}};"
            },
        )
        viewer = Viewer(browser, root, LOOKS[0])
        for path, drawn in (("", ".cw-card .cw-price b"), ("data?view=streams", ".cw-pill")):
            viewer.visit(path)
            viewer.find(drawn)
            viewer.settle()
            assert viewer.faults() == []
    assert "America" in (tmp_path / "streamlit.log").read_text()


def test_only_one_module_reads_what_browsers_report() -> None:
    readers = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "app" / "dashboard").rglob("*.py")
        if re.search(r"\bst\.(context|query_params\b(?!\.from_dict))", path.read_text())
    }
    assert readers == {"app/dashboard/ui/viewer.py"}
