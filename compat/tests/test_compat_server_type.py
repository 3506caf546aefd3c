"""What kind of server is at an address, by the address and by asking."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from mellea.helpers.server_type import (
    _server_type,
    _ServerType,
    is_vllm_server_with_structured_output,
)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://localhost:8000/v1", _ServerType.LOCALHOST),
        ("http://[::1]:8080/v1", _ServerType.LOCALHOST),
        ("https://api.openai.com/v1", _ServerType.OPENAI),
        ("https://example.com/v1", _ServerType.UNKNOWN),
        ("not an address", _ServerType.UNKNOWN),
        ("http://[", _ServerType.UNKNOWN),
    ],
)
def test_a_server_is_known_by_its_address(url: str, kind: _ServerType) -> None:
    assert _server_type(url) is kind


class Versioned(HTTPServer):
    answer: tuple[int, str] = (404, "")
    asked: list[tuple[str, str | None]]


@pytest.fixture
def server() -> Iterator[Versioned]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            versioned.asked.append((self.path, self.headers.get("authorization")))
            status, body = versioned.answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: Any) -> None: ...

    versioned = Versioned(("127.0.0.1", 0), Handler)
    versioned.asked = []
    thread = threading.Thread(target=versioned.serve_forever, args=(0.01,))
    thread.start()
    yield versioned
    versioned.shutdown()
    thread.join()
    versioned.server_close()


@pytest.mark.parametrize(
    ("status", "body", "known"),
    [
        (200, json.dumps({"version": "0.12.0"}), True),
        (200, json.dumps({"version": "0.16.0rc1.dev172+gddf69"}), True),
        (200, json.dumps({"version": "1.0"}), True),
        (200, json.dumps({"version": "0.11.9"}), False),
        (200, json.dumps({"version": "soon"}), False),
        (200, "{}", False),
        (200, "[]", False),
        (200, "no JSON", False),
        (404, json.dumps({"version": "0.12.0"}), False),
    ],
)
def test_a_server_is_asked_for_its_version(
    server: Versioned, status: int, body: str, known: bool
) -> None:
    server.answer = (status, body)
    headers = {"Authorization": "Bearer k"}
    for path in ("/v1", "/v1/", ""):
        url = f"http://127.0.0.1:{server.server_port}{path}"
        assert is_vllm_server_with_structured_output(url, headers) is known
    assert set(server.asked) == {("/version", "Bearer k")}


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/v1", "http://[fe80::1]/v1", "http://127.0.0.1:1/v1", "nothing"]
)
def test_nobody_is_asked_where_nobody_should_be(url: str) -> None:
    assert is_vllm_server_with_structured_output(url, {}) is False
