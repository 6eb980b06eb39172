"""The page as the local gateway serves it: files, headers, and a token that nobody but this machine gets to see."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from infra.local.page_files import PageFiles
from infra.web.policy import content_security_policy, content_type

STORE = "http://127.0.0.1:4566"
FILES = {
    "index.html": b"<!doctype html>",
    "app.js": b"export {};\n",
    "vendor/one/esm/index.mjs": b"export {};\n",
    "vendor/one/LICENSE": b"free",
    "style.css": b"",
    ".hidden.js": b"secret",
    "notes.py": b"secret",
    "screenshots/light.png": b"not served",
}


@pytest.fixture
def page(tmp_path: Path) -> PageFiles:
    """A page of a few files, with something outside of it."""
    folder = tmp_path / "page"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (tmp_path / "outside.js").write_bytes(b"secret")
    (folder / "link.js").symlink_to(tmp_path / "outside.js")
    return PageFiles(api_prefix="/api", token="the-token", connect=[STORE], folder=folder)


def ask(
    page: PageFiles, path: str, *, method: str = "GET", caller: str = "127.0.0.1", **headers: str
) -> httpx.Response:
    """One request; 404 says that the page left it to the API."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await (page.answer(Request(scope)) or PlainTextResponse("", 404))(scope, receive, send)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(serve, client=(caller, 12345))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8321") as client:
            return await client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/vendor/one/esm/index.mjs", "text/javascript; charset=utf-8"),
        ("/vendor/one/LICENSE", "text/plain; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
    ],
)
def test_files_come_as_what_they_are(page: PageFiles, path: str, kind: str) -> None:
    answer = ask(page, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == FILES[path.lstrip("/") or "index.html"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == content_security_policy([STORE])


@pytest.mark.parametrize(
    "path",
    [
        "/.hidden.js",
        "/notes.py",
        "/link.js",
        "/nothing.js",
        "/vendor",
        "/vendor/one/",
        "/screenshots/light.png",
        "/..%2Foutside.js",
        "/vendor/..%2f..%2foutside.js",
        "/%2e%2e/outside.js",
        "/index.html%00",
        "/api/v1/telemetry/sessions",
    ],
)
def test_nothing_else_is_served(page: PageFiles, path: str) -> None:
    assert ask(page, path).status_code == 404


def test_only_gets_are_the_pages(page: PageFiles) -> None:
    assert ask(page, "/", method="POST").status_code == 404
    head = ask(page, "/", method="HEAD")
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(FILES["index.html"])))


def test_an_unchanged_file_is_not_sent_again(page: PageFiles) -> None:
    first = ask(page, "/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = ask(page, "/app.js", if_none_match=f'"other", {first.headers["etag"]}')
    assert (again.status_code, again.content) == (304, b"")
    (page.folder / "app.js").write_bytes(b"changed")
    assert ask(page, "/app.js", if_none_match=first.headers["etag"]).content == b"changed"


@pytest.mark.parametrize("host", ["127.0.0.1:8321", "localhost:8321", "localhost", "[::1]:8321"])
def test_the_configuration_is_this_machines(page: PageFiles, host: str) -> None:
    answer = ask(page, "/config.json", host=host, origin="http://127.0.0.1:9999")
    assert answer.json() == {"api": f"http://{host}/api", "token": "the-token"}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    # No other origin of this machine may read it.
    assert [name for name in answer.headers if name.startswith("access-control-")] == []


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "localhost.evil.example:8321", "", "10.0.0.1"],
)
@pytest.mark.parametrize("path", ["/config.json", "/"])
def test_a_name_that_was_bound_to_the_loopback_gets_nothing(page: PageFiles, host: str, path: str) -> None:
    answer = ask(page, path, host=host)
    assert answer.status_code == 421
    assert b"the-token" not in answer.content


@pytest.mark.parametrize("path", ["/config.json", "/"])
def test_a_caller_over_a_network_gets_nothing_whatever_it_calls_us(page: PageFiles, path: str) -> None:
    answer = ask(page, path, caller="172.17.0.2", host="127.0.0.1:8321")
    assert answer.status_code == 421
    assert b"the-token" not in answer.content


def test_the_policy_lets_in_nothing_foreign() -> None:
    policy: dict[str, Any] = {
        name: sources.split()
        for name, _, sources in (part.partition(" ") for part in content_security_policy([STORE]).split("; "))
    }
    assert policy["default-src"] == ["'self'"]
    assert policy["script-src"] == ["'self'", "'wasm-unsafe-eval'"]
    assert policy["connect-src"] == ["'self'", STORE]
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == ["'none'"]


def test_every_file_of_the_page_has_a_type() -> None:
    folder = PageFiles("", "", []).folder
    untyped = [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and content_type(path.relative_to(folder).as_posix()) is None
    ]
    assert [name for name in untyped if not name.endswith(".png")] == []
