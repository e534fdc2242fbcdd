"""What a cold page needs: named at once, fetched once, answered from memory."""

from __future__ import annotations

import gzip
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.dashboard.serving import preload
from app.dashboard.serving.preload import Assets, needed, preloads

CODE = "/static/js/Part.abcdefgh.js"


def test_a_part_needs_what_it_imports_each_once(tmp_path: Path) -> None:
    (tmp_path / "Part.abcdefgh.js").write_text(
        'import{a as b}from"./one.js";import"./two.js";from"./gone.js"'
    )
    (tmp_path / "one.js").write_text('import{c}from"./two.js"')
    (tmp_path / "two.js").write_text('import{d}from"./one.js"')
    (tmp_path / "other.js").write_text("")

    assert sorted(needed(["Part", "Absent"], tmp_path)) == ["Part.abcdefgh.js", "one.js", "two.js"]


def test_pages_name_the_code_of_their_elements_and_of_the_chart() -> None:
    links = preloads()

    assert links[""] == links["overview"]
    assert "/DataFrame." in links[""]
    assert f"<_stcore/bidi-components/{preload.COMPONENT}/index-" in links["*"]
    assert "/BidiComponent." in links["*"]
    for part in links["*"].split(", "):
        address = part.removeprefix("<").removesuffix(">; rel=modulepreload")
        assert address != part
        assert address.startswith("_stcore/") or (preload.CODE / address.rpartition("/")[2]).is_file()


class Site:
    """What the middleware is before: counts how often each path is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        routes = [Route("/{path:path}", self._answer)]
        self.app = Assets(Starlette(routes=routes))

    async def _answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        if request.url.path.endswith(".js"):
            headers = {"cache-control": "public", "x-kept": "yes"}
            return Response("let a;" * 1_000, self.status, headers, media_type="text/javascript")
        return HTMLResponse("<html>", self.status)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://here")


async def test_a_file_is_fetched_once_and_sent_small_to_whom_can_read_that() -> None:
    site = Site()
    async with site.client() as client:
        small = await client.get(CODE, headers={"accept-encoding": "gzip"})
        whole = await client.get(CODE, headers={"accept-encoding": "identity"})

    assert site.asked == [CODE]
    assert small.text == whole.text == "let a;" * 1_000
    assert "content-encoding" not in whole.headers
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) == len(gzip.compress(small.content, 6))
    assert "immutable" in small.headers["cache-control"]
    assert small.headers["x-kept"] == whole.headers["x-kept"] == "yes"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/static/js/plain.js", {}),
        ("/media/Part.abcdefgh.js", {}),
        (f"{CODE}?v=2", {}),
        (CODE, {"range": "bytes=0-3"}),
        (CODE, {"origin": "http://there"}),
    ],
)
async def test_everything_else_is_asked_for_each_time(path: str, headers: dict[str, str]) -> None:
    site = Site()
    async with site.client() as client:
        for _ in range(2):
            answer = await client.get(path, headers=headers)
            assert answer.headers["cache-control"] == "public"

    assert len(site.asked) == 2


async def test_a_refusal_is_passed_on_and_not_kept() -> None:
    site = Site()
    site.status = 404
    async with site.client() as client:
        assert (await client.get(CODE)).status_code == 404
        site.status = 200
        assert (await client.get(CODE)).status_code == 200

    assert len(site.asked) == 2


async def test_no_more_is_kept_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "MOST_BYTES", 10)
    site = Site()
    async with site.client() as client:
        for _ in range(2):
            assert (await client.get(CODE)).text == "let a;" * 1_000

    assert len(site.asked) == 2


async def test_pages_get_their_links_and_nothing_else_does() -> None:
    site = Site()
    page = {"accept": "text/html,*/*"}
    async with site.client() as client:
        links = {path: (await client.get(path, headers=page)).headers["link"] for path in ("/", "/chart")}
        other = await client.get("/_stcore/health", headers={"accept": "*/*"})
        site.status = 500
        failed = await client.get("/chart", headers=page)

    assert links == {"/": preloads()[""], "/chart": preloads()["*"]}
    assert "link" not in other.headers
    assert "link" not in failed.headers
