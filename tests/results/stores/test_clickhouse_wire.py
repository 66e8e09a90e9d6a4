"""The way to ClickHouse: addresses, and what is made of what comes back that is no answer of a ClickHouse."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from results.stores.clickhouse import ClickHouse
from results.stores.clickhouse_wire import address_of
from results.stores.failures import ClickHouseAway, ClickHouseRefused
from tests.results.stores.made import EmbeddedProcess

Answering = Callable[[int, dict[str, str], bytes], str]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """answering(status, headers, body) -> address of a server that gives every request this answer."""
    servers: list[ThreadingHTTPServer] = []

    def serve(status: int, headers: dict[str, str], body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = "Content-Length" not in headers

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{server.server_port}/desk"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_balancer_that_has_no_server_is_a_server_that_is_away(answering: Answering, status: int) -> None:
    store = ClickHouse(answering(status, {"Content-Length": "5"}, b"sorry"))
    with pytest.raises(ClickHouseAway, match="sorry"):
        store.version()


def test_somebody_else_at_the_address_refuses(answering: Answering) -> None:
    store = ClickHouse(answering(404, {"Content-Length": "13"}, b"<h1>Who?</h1>"))
    with pytest.raises(ClickHouseRefused, match="Who"):
        store.version()


@pytest.mark.parametrize("code", [202, 216, 225, 242, 394])
def test_an_error_that_passes_by_itself_is_worth_another_try(answering: Answering, code: int) -> None:
    body = f"Code: {code}. DB::Exception: not now. (WHATEVER)".encode()
    headers = {"Content-Length": str(len(body)), "X-ClickHouse-Exception-Code": str(code)}
    with pytest.raises(ClickHouseAway, match="not now"):
        ClickHouse(answering(500, headers, body)).version()


def test_a_reply_without_a_known_end_is_none(answering: Answering) -> None:
    with pytest.raises(ClickHouseAway, match="the connection was lost"):
        ClickHouse(answering(200, {"X-ClickHouse-Format": "TabSeparated"}, b"26.9\tUTC\n")).version()


def test_a_wrong_password_is_refused_with_clickhouses_code(tmp_path: Path) -> None:
    environment = {**os.environ, "EMBEDDED_CLICKHOUSE_PASSWORD": "p@ss/word"}
    server = EmbeddedProcess(tmp_path / "clickhouse", environment=environment)
    try:
        assert ClickHouse(server.url().replace("default@", "default:p%40ss%2Fword@")).version()
        with pytest.raises(ClickHouseRefused) as refusal:
            ClickHouse(server.url().replace("default@", "default:wrong@")).version()
        assert refusal.value.code == 516
        assert "p@ss" not in str(refusal.value)
    finally:
        server.stop()


def test_a_proxy_for_web_pages_is_not_asked(clickhouse_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    store = ClickHouse(clickhouse_url)
    assert store.version()
    store.close()


@pytest.mark.parametrize("url", ["", "localhost:8123", "redis://127.0.0.1/0"])
def test_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ClickHouseRefused, match="not of the form"):
        ClickHouse(url)


def test_address_is_read_with_its_escapes_and_defaults() -> None:
    found = address_of("https://me:p%40ss@clickhouse.example/desk")
    assert (found.interface, found.port, found.username, found.password) == ("https", 8443, "me", "p@ss")
    assert address_of("http://127.0.0.1").database == "default"
