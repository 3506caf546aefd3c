"""The ways to a server: TLS, Unix sockets, IPv6, proxies, and connections that get old."""

import base64
import ssl
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import httpx
import httpx2
import pytest
import trustme

from backends.raw import Handler, Visit, answers, chunked, raw_server, whole
from motet import (
    BackendUnavailable,
    CBlock,
    CertificateError,
    ConnectionLost,
    MotetError,
    SimpleContext,
    StatusError,
    TruncatedReply,
)
from motet._http import client
from motet._http.client import shared_transport
from motet._http.route import Route, route_to
from motet._runtime.host import current_host
from motet.backends import OllamaModelBackend, OpenAIBackend
from motet.testing import no_leaks

LINE = b'{"model":"m","message":{"role":"assistant","content":"hi"},"done":false}\n'
LAST = b'{"model":"m","done":true,"done_reason":"stop"}\n'
REPLY = chunked(LINE, LAST)
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def ask(backend: Any, what: str = "Say something.") -> str:
    with anyio.fail_after(20):
        thunk = backend.begin(CBlock(what), SimpleContext())
        text: str = await thunk
        return text


def ollama(url: str, **options: Any) -> OllamaModelBackend:
    return OllamaModelBackend("m", base_url=url, **options)


async def replies(visit: Visit) -> None:
    """Answer every request well."""
    while True:
        await visit.request()
        await visit.send(REPLY)


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.anyio
async def test_backends_with_one_ssl_context_share_their_connections(authority: trustme.CA) -> None:
    context = trusting(authority)
    async with raw_server(replies, tls=server_side(authority)) as server:
        for _ in range(2):
            assert await ask(ollama(server.url, ssl_context=context)) == "hi"
        assert len(server.visits) == 1
        route = Route(ssl_context=context)
        assert shared_transport(current_host(), route).idle == 1
        await ollama(server.url, ssl_context=context).close_idle()
        assert await ask(ollama(server.url, ssl_context=trusting(authority))) == "hi"
        assert len(server.visits) == 2


@pytest.mark.anyio
async def test_what_follows_a_reply_in_tls_is_never_the_next_reply(authority: trustme.CA) -> None:
    # As long as a record of TLS, so that what follows is in another, and comes with it.
    padding = 16 * 1024 - len(whole(LINE + LAST, b"X-Padding: "))
    first = whole(LINE + LAST, b"X-Padding: " + b"x" * padding)
    smuggling = answers(first + whole(LINE.replace(b"hi", b"smuggled") + LAST))
    context = trusting(authority)
    async with raw_server(smuggling, replies, tls=server_side(authority)) as server:
        for _ in range(2):
            assert await ask(ollama(server.url, ssl_context=context)) == "hi"
        assert len(server.visits) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("wrong", ["name", "authority", "nothing of ours"])
async def test_a_certificate_that_is_not_trusted_is_an_error_that_says_so(
    authority: trustme.CA, wrong: str
) -> None:
    name = "elsewhere.example" if wrong == "name" else "127.0.0.1"
    contexts = {"name": trusting(authority), "authority": trusting(trustme.CA())}
    async with raw_server(answers(REPLY), tls=server_side(authority, name)) as server:
        with pytest.raises(CertificateError, match="ssl_context=") as caught:
            await ask(ollama(server.url, ssl_context=contexts.get(wrong)))
        assert server.url in str(caught.value)
        assert "ollama serve" not in str(caught.value)
        assert ("not valid for" in str(caught.value)) == (wrong == "name")
        await server.wait_empty()
        assert server.requests == []


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_so_it_is_with_a_client_of_the_users_own(library: Any, authority: trustme.CA) -> None:
    async with raw_server(replies, tls=server_side(authority)) as server:
        async with library.AsyncClient() as http:
            with pytest.raises(CertificateError):
                await ask(ollama(server.url, http_client=http))
        async with library.AsyncClient(verify=trusting(authority)) as http:
            assert await ask(ollama(server.url, http_client=http)) == "hi"


@pytest.mark.anyio
@pytest.mark.parametrize("presented", [False, True])
async def test_a_server_may_want_a_certificate_of_ours(
    authority: trustme.CA, presented: bool
) -> None:
    demanding = server_side(authority)
    authority.configure_trust(demanding)
    demanding.verify_mode = ssl.CERT_REQUIRED
    context = trusting(authority)
    if presented:
        authority.issue_cert("me@here.example").configure_cert(context)
    async with raw_server(answers(REPLY), tls=demanding) as server:
        backend = ollama(server.url, ssl_context=context)
        if presented:
            assert await ask(backend) == "hi"
            await backend.close_idle()
        else:
            # The server may have hung up before we have read why.
            with pytest.raises((CertificateError, ConnectionLost)):
                await ask(backend)


@pytest.mark.anyio
async def test_https_of_a_server_that_speaks_none_says_so() -> None:
    async def no_tls(visit: Visit) -> None:
        await visit.stream.receive()
        await visit.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with raw_server(no_tls) as server:
        with pytest.raises(BackendUnavailable, match="is it an http:// address") as caught:
            await ask(ollama(f"https://127.0.0.1:{server.port}"))
        assert type(caught.value) is BackendUnavailable


# --- sockets of other kinds


@pytest.mark.anyio
async def test_the_server_may_be_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with raw_server(answers(REPLY, REPLY), uds=str(path)) as server:
        for uds in (path, str(path)):
            assert await ask(ollama("http://box/v", uds=uds)) == "hi"
        assert len(server.visits) == 1
        assert server.requests[0].startswith(b"POST /v/api/chat HTTP/1.1\r\nhost: box")
        await ollama("http://box", uds=str(path)).close_idle()
    with pytest.raises(BackendUnavailable, match="nowhere"):
        await ask(ollama("http://box", uds=tmp_path / "nowhere"))


@pytest.mark.anyio
async def test_the_server_may_have_an_ipv6_address() -> None:
    async with raw_server(replies, host="::1") as server:
        assert await ask(ollama(server.url)) == "hi"
        assert await ask(ollama(f"[::1]:{server.port}")) == "hi"


# --- proxies


async def pump(source: anyio.abc.AnyByteStream, sink: anyio.abc.AnyByteStream) -> None:
    try:
        async for data in source:
            await sink.send(data)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        pass


async def tunnel(visit: Visit, port: int) -> None:
    async with (
        await anyio.connect_tcp("127.0.0.1", port) as onward,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(pump, onward, visit.stream)
        await pump(visit.stream, onward)
        tasks.cancel_scope.cancel()


def connect_proxy(port: int) -> Handler:
    async def handle(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 Go on\r\n\r\n")
        await tunnel(visit, port)

    return handle


def socks_proxy(port: int) -> Handler:
    async def handle(visit: Visit) -> None:
        visit.requests.append(await visit.stream.receive())
        await visit.send(b"\x05\x02" if b"\x02" in visit.requests[0][2:] else b"\x05\x00")
        if b"\x02" in visit.requests[0][2:]:
            visit.requests.append(await visit.stream.receive())
            await visit.send(b"\x01\x00")
        visit.requests.append(await visit.stream.receive())
        await visit.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x01")
        await tunnel(visit, port)

    return handle


@pytest.mark.anyio
async def test_https_goes_through_a_proxy_as_a_tunnel(authority: trustme.CA) -> None:
    context = trusting(authority)
    async with (
        raw_server(replies, tls=server_side(authority)) as server,
        raw_server(connect_proxy(server.port)) as proxy,
    ):
        address = f"http://me:hidden-word@127.0.0.1:{proxy.port}"
        backend = ollama(server.url, ssl_context=context, proxy=address)
        for _ in range(2):
            assert await ask(backend) == "hi"
        assert len(proxy.visits) == 1
        (opening,) = proxy.requests
        assert opening.startswith(b"CONNECT 127.0.0.1:%d " % server.port)
        assert base64.b64encode(b"me:hidden-word") in opening
        assert all(b"hidden" not in request for request in server.requests)


@pytest.mark.anyio
async def test_http_goes_through_a_proxy_as_it_is() -> None:
    async with raw_server(answers(REPLY)) as proxy:
        assert (
            await ask(ollama("http://box.example", proxy=f"http://127.0.0.1:{proxy.port}")) == "hi"
        )
        assert proxy.requests[0].startswith(b"POST http://box.example")


@pytest.mark.anyio
@pytest.mark.parametrize("login", ["", "me:hidden-word@"])
async def test_a_proxy_may_be_socks(login: str) -> None:
    async with raw_server(replies) as server, raw_server(socks_proxy(server.port)) as proxy:
        backend = ollama(server.url, proxy=f"socks5://{login}127.0.0.1:{proxy.port}")
        assert await ask(backend) == "hi"
        assert len(proxy.visits) == 1


REFUSALS = {
    "a status": b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"220 smtp.example ready\r\n\r\n",
}


@pytest.mark.anyio
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_proxy_that_refuses_is_named_without_its_password(refusal: str) -> None:
    async with raw_server(answers(REFUSALS[refusal], stay=False)) as proxy:
        address = f"http://me:hidden-word@127.0.0.1:{proxy.port}"
        with pytest.raises((BackendUnavailable, ConnectionLost)) as caught:
            await ask(ollama("https://box.example", proxy=address))
    assert "hidden" not in repr(caught.value)


@pytest.mark.anyio
async def test_a_proxy_that_is_not_there_is_no_server() -> None:
    async with raw_server(answers()) as proxy:
        pass
    address = f"127.0.0.1:{proxy.port}"
    with pytest.raises(BackendUnavailable, match=f"through the proxy http://{address}") as caught:
        await ask(ollama("https://box.example", proxy=f"http://me:hidden-word@{address}"))
    assert "hidden" not in str(caught.value)


@pytest.mark.anyio
async def test_a_call_through_a_proxy_can_be_cancelled_and_leaves_nothing_open() -> None:
    async with raw_server(answers(chunked(LINE, end=b""))) as proxy:
        backend = ollama("http://box.example", proxy=f"http://127.0.0.1:{proxy.port}")
        thunk = backend.begin(CBlock("Say something."), SimpleContext())
        with anyio.fail_after(20):
            assert await thunk.astream() == "hi"
            await thunk.aclose()
            await proxy.wait_empty()


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "http://box", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://box", "http://p:1"),
        ({"http_proxy": "p:1"}, "http://box", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://box", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://box/v1", "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "https://box", "socks5://p:1"),
        ({"ALL_PROXY": "http://q:1", "HTTPS_PROXY": "http://p:1"}, "https://box", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "box"}, "http://box", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": ".lan"}, "http://box.lan:8000", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://box", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "other"}, "http://box", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "http://localhost:11434", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://a.localhost:11434", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://127.0.0.1:11434", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://[::1]:11434", None),
    ],
)
def test_the_environment_may_name_a_proxy(
    variables: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert route_to(url).proxy == proxy
    assert route_to(url, proxy="").proxy is None
    assert route_to(url, proxy="http://mine:1").proxy == "http://mine:1"
    assert route_to(url, uds="/s") == Route(uds="/s")


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("ftp://p:1", "schemes"),
        ("socks4://p:1", "schemes"),
        ("http:///p", "no host"),
        ("http://p:x", "port"),
        ("p:0", "port"),
        ("http://me:secret@p:99999", "port"),
        ("http://me:sec/ret@p:1", "%2F"),
        ("http://me:secret@10.0.0.256:1", "IPv4"),
        ("10.0.0.256:1", "IPv4"),
        ("socks5://10.0.0.256:1", "IPv4"),
        ("http://me:secret@[::1", "neither"),
        ("http://me:secret@a b:1", "blanks"),
        ("http://me:secret@\u2603:1", "characters"),
        ("http://me:sec\x7fret@p:1", "control characters"),
    ],
)
@pytest.mark.parametrize("variable", [None, "HTTP_PROXY"])
def test_what_is_no_proxy_is_refused_by_name_and_not_quoted(
    address: str, wrong: str, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv(variable, address)
    with pytest.raises(ValueError, match=f"^{variable or 'proxy'} should be.*{wrong}") as caught:
        route_to("http://box", proxy=None if variable else address)
    assert address not in str(caught.value)
    assert "sec" not in str(caught.value)


def test_socks_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"motet\[socks\]"):
        route_to("http://box", proxy="socks5://p:1")


@pytest.mark.parametrize("backend", [OllamaModelBackend, OpenAIBackend])
@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"ssl_context": True}, TypeError, "ssl.SSLContext"),
        ({"proxy": 3128}, TypeError, "URL of a proxy"),
        ({"uds": "/s", "proxy": "http://p:1"}, ValueError, "exclude each other"),
        ({"base_url": "http://10.0.0.256:1"}, ValueError, "^base_url .*IPv4"),
        ({"base_url": "http://box:99999"}, ValueError, "the port in base_url"),
        ({"proxy": "http://10.0.0.256:1"}, ValueError, "^proxy .*IPv4"),
        ({"max_reply_bytes": 0}, ValueError, "max_reply_bytes"),
        ({"max_reply_bytes": 1.5}, ValueError, "max_reply_bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    backend: Any, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        backend("m", **{"base_url": "http://box", **options})


class _Derived(httpx2.Client):
    """A synchronous client of somebody's own."""


@pytest.mark.parametrize("backend", [OllamaModelBackend, OpenAIBackend])
@pytest.mark.parametrize(
    "kind", [httpx2.Client, httpx.Client, _Derived], ids=["httpx2", "httpx", "derived"]
)
def test_a_synchronous_client_is_refused_when_the_backend_is_made(backend: Any, kind: Any) -> None:
    with kind() as http, pytest.raises(TypeError, match=r"should be an AsyncClient.*synchronous"):
        backend("m", base_url="http://box", http_client=http)


@pytest.mark.parametrize("library", [httpx2, httpx])
def test_so_is_the_class_of_a_client(library: Any) -> None:
    with pytest.raises(TypeError, match=r"should be an AsyncClient.*the class AsyncClient"):
        ollama("http://box", http_client=library.AsyncClient)


@pytest.mark.parametrize("option", ["ssl_context", "uds", "proxy"])
def test_a_client_of_ones_own_knows_the_way_itself(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"ssl_context": ssl.create_default_context(), "uds": "/s", "proxy": "http://p:1"}
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(200)))
    with pytest.raises(ValueError, match="give them to the client"):
        ollama("http://box", http_client=http, **{option: values[option]})
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    ollama("http://box", http_client=http)


# --- requests that are refused before they were read


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 413, 503])
async def test_a_long_request_that_is_refused_before_it_was_read_says_why(
    status: int, tmp_path: Path
) -> None:
    told, path = anyio.Event(), str(tmp_path / "s")

    async def refuse(visit: Visit) -> None:
        await visit.stream.receive()
        said = b'{"error": "no, thank you"}'
        head = b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n" % (status, len(said))
        await visit.send(head + said)
        await told.wait()
        await visit.stay()

    with no_leaks():
        async with raw_server(refuse, replies, uds=path) as server:
            backend = ollama("http://box", uds=path)
            with pytest.raises(StatusError, match="no, thank you") as caught:
                await ask(backend, "x" * 8_000_000)
            assert caught.value.status == status
            told.set()
            assert await ask(backend) == "hi"
            assert len(server.visits) == 2
            await backend.close_idle()
            await server.wait_empty()


# --- connections that get old


@pytest.mark.anyio
async def test_backends_share_the_files_that_the_process_may_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "default_limit", lambda: 4)
    seen: list[int] = []

    async def busy(visit: Visit) -> None:
        while True:
            await visit.request()
            seen.append(shared_transport(current_host()).open)
            await anyio.wait_all_tasks_blocked()
            await visit.send(REPLY)

    async with raw_server(busy) as one, raw_server(busy) as other:
        backends = [ollama(server.url) for server in (one, other)]
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for backend in backends * 6:
                    tasks.start_soon(ask, backend)
        assert len(seen) == 24
        assert max(seen) == 4
        await backends[0].close_idle()


async def one_and_silently_gone(visit: Visit) -> None:
    """Do as llama.cpp does after five idle seconds, or a hundred requests: hang up."""
    await visit.request()
    await visit.send(REPLY)


async def one_and_gone_at_the_next(visit: Visit) -> None:
    """The same, at the worst moment: when the next request is on its way."""
    await visit.request()
    await visit.send(REPLY)
    await visit.request()


@pytest.mark.anyio
async def test_connections_that_the_server_closes_cost_nobody_a_reply() -> None:
    async with raw_server(one_and_silently_gone) as server:
        backend = ollama(server.url)
        for _ in range(5):
            assert await ask(backend) == "hi"
            await server.wait_empty()
        assert len(server.requests) == 5


@pytest.mark.anyio
async def test_a_request_on_a_connection_that_dies_under_it_is_sent_once_more() -> None:
    async with raw_server(one_and_gone_at_the_next, replies) as server:
        backend = ollama(server.url)
        for _ in range(3):
            assert await ask(backend) == "hi"
        assert len(server.visits) == 2
        assert len(server.requests) == 4


@pytest.mark.anyio
async def test_but_not_when_anything_has_been_answered() -> None:
    async def half(visit: Visit) -> None:
        await visit.request()
        await visit.send(REPLY)
        await visit.request()
        await visit.send(chunked(LINE))

    async with raw_server(half, replies) as server:
        backend = ollama(server.url)
        assert await ask(backend) == "hi"
        with pytest.raises(TruncatedReply) as caught:
            await ask(backend)
        assert caught.value.partial == "hi"
        assert len(server.visits) == 1


@pytest.mark.anyio
async def test_a_fresh_connection_that_dies_is_not_tried_again_here() -> None:
    async def gone(visit: Visit) -> None:
        await visit.request()

    async with raw_server(gone) as server:
        with pytest.raises(MotetError):
            await ask(ollama(server.url))
        assert len(server.visits) == 1
