"""The HTTP client of one server on one event loop.

Connections belong to event loops, so a backend has one client for each loop it is used
on: the user's own, or one over a lease transport, which all backends on that loop with
the same route share and which is closed with the loop. Behind a proxy it is a client of
`httpx2`, which knows how to speak to proxies. Nothing is opened before the first call.
"""

from __future__ import annotations

import functools
import importlib
import weakref
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from .._runtime.host import LoopHost
from .._values.secrets import secrets_in, secrets_in_url
from .exchange import Send
from .limiter import CallLimiter, default_limit
from .route import DIRECT, Route

if TYPE_CHECKING:
    import httpx2

    from .lease import LeaseTransport, Room


Interposer: TypeAlias = Callable[[Any, Callable[[Any], Awaitable[Any]]], Awaitable[Any]]
"""Is given a request and what would send it, and returns a response; of httpx2 or httpx."""

interposed: Final[ContextVar[Interposer | None]] = ContextVar("motet interposer", default=None)
"""What stands between backends and their connections, for who records or replays exchanges.

A context variable, because what a block starts inherits it, and nobody else does.
"""


class Client:
    """What a backend needs to call its server from one event loop.

    Attributes:
        send: sends a request to where most requests go.
        limiter: places for calls in flight.
    """

    def __init__(self, make: Callable[[str, str], Send], url: str, limiter: CallLimiter) -> None:
        self._make = make
        self._senders: dict[tuple[str, str], Send] = {}
        self.send = self.to("POST", url)
        self.limiter = limiter

    def to(self, method: str, url: str) -> Send:
        """Return what sends requests with this method to this URL."""
        send = self._senders.get((method, url))
        if send is None:
            send = self._senders[method, url] = self._make(method, url)
        return send


class Clients:
    """The clients of one backend, one for each event loop.

    Args:
        url: where most requests go.
        headers: their headers.
        http_client: the user's own client, used as it is and never closed by us.
        max_in_flight: how many calls at once on one event loop; None for as many as the
            process may open sockets for, together with all other backends without a number.
        route: the way to the server, for connections of our own.

    Attributes:
        secrets: what the requests carry and nothing may show.
        hint: what else to look at when nothing answers.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        http_client: Any = None,
        max_in_flight: int | None = None,
        route: Route = DIRECT,
    ) -> None:
        if max_in_flight is not None and (not isinstance(max_in_flight, int) or max_in_flight < 1):
            raise ValueError(
                f"max_in_flight should be a whole number from 1, or None, not {max_in_flight!r}"
            )
        if http_client is not None:
            _check_client(http_client)
        if http_client is not None and route != DIRECT:
            raise ValueError(
                "http_client excludes ssl_context, uds and proxy: give them to the client, as "
                "verify=, and in its transport"
            )
        _check_headers(headers)
        self.secrets: Final = (
            *secrets_in(headers),
            *secrets_in_url(url),
            *_secrets_of(route),
            *_theirs(http_client),
        )
        if http_client is None:
            # Here and not at the first call: it takes a tenth of a second, and then other
            # tasks would stand still and the call's own time would be running.
            importlib.import_module(".lease", __package__)
        self._url = url
        self._headers = headers
        self._http_client = http_client
        self._max_in_flight = max_in_flight
        self._route = route
        self.hint: Final = route.hint
        # Weak: a loop that is over takes its client with it.
        self._clients: weakref.WeakKeyDictionary[LoopHost, Client] = weakref.WeakKeyDictionary()

    def on(self, host: LoopHost) -> Client:
        """Return the client for the event loop of *host*."""
        client = self._clients.get(host)
        if client is None:
            limiter = (
                CallLimiter(self._max_in_flight) if self._max_in_flight else _shared_limiter(host)
            )
            # Weakly: what the host keeps must not keep the host.
            ways = self._over_proxy if self._route.proxy else self._over_lease
            make = (
                functools.partial(self._through, self._http_client)
                if self._http_client
                else functools.partial(ways, weakref.ref(host))
            )
            client = self._clients[host] = Client(make, self._url, limiter)
        return client

    def _over_lease(self, of: weakref.ref[LoopHost], method: str, address: str) -> Send:
        """Return what sends over the loop's own connections.

        Straight to the transport: what a client of the library adds to a request (cookies,
        redirects, authentication) is not wanted, and costs more than the request.
        """
        import httpx2

        from .lease import Message

        host = of()
        assert host is not None  # who asks runs on it
        transport, url = shared_transport(host, self._route), httpx2.URL(address)
        headers = httpx2.Headers({"host": url.netloc.decode("ascii"), **self._headers}).raw

        async def send(content: bytes, extensions: dict[str, Any]) -> Any:
            interposer = interposed.get()
            if interposer is not None:
                request = httpx2.Request(
                    method, url, headers=headers, content=content or None, extensions=extensions
                )
                return await interposer(request, transport.handle_async_request)
            length = [(b"content-length", b"%d" % len(content))] if content else []
            message = Message(url, method.encode(), headers + length, content)
            return await transport.send(message, extensions["trace"])

        return send

    def _over_proxy(self, of: weakref.ref[LoopHost], method: str, address: str) -> Send:
        """Return what sends through the proxy."""
        host = of()
        assert host is not None  # who asks runs on it
        return self._through(_shared_client(host, self._route), method, address)

    def _through(self, http: Any, method: str, address: str) -> Send:
        """Return what sends through a client of httpx2 or httpx."""
        headers = self._headers
        url = type(http.base_url)(address)  # parsed once, in the client's own type
        # No redirect is followed, whatever the client does elsewhere: the library takes
        # one header with credentials out of the request, and not the others.
        pass_on = functools.partial(http.send, stream=True, follow_redirects=False)

        async def send(content: bytes, extensions: dict[str, Any]) -> Any:
            request = http.build_request(
                method,
                url,
                content=content or None,
                headers=headers,
                timeout=None,
                extensions=extensions,
            )
            interposer = interposed.get()
            return await (pass_on(request) if interposer is None else interposer(request, pass_on))

        return send

    async def close_idle(self, host: LoopHost) -> None:
        """Close the connections on this event loop that serve nobody."""
        if self._http_client is None and not self._route.proxy and host in self._clients:
            await shared_transport(host, self._route).close_idle()


def shared_transport(host: LoopHost, route: Route = DIRECT) -> LeaseTransport:
    """Return the connections that all backends on one event loop with this route share."""
    from .lease import LeaseTransport

    return host.resource(
        ("motet lease transport", route),
        lambda: LeaseTransport(ssl_context=route.ssl_context, uds=route.uds, room=_room(host)),
        lambda each: each.aclose(),
    )


def _room(host: LoopHost) -> Room:
    """Return the room that all connections of ours on one event loop share."""
    from .lease import Room

    return host.resource("motet room for connections", lambda: Room(default_limit()))


def _shared_limiter(host: LoopHost) -> CallLimiter:
    """Return the places that all backends on one event loop share, except those with a number.

    The files that a process may open do not get more with every backend.
    """
    return host.resource("motet call limiter", lambda: CallLimiter(default_limit()))


def _shared_client(host: LoopHost, route: Route) -> httpx2.AsyncClient:
    """Return the client that all backends on one event loop with this proxy share."""
    import httpx2

    from .lease import KEEPALIVE, shared_ssl_context

    def make() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            verify=route.ssl_context or shared_ssl_context(),
            proxy=route.proxy,
            timeout=None,  # silence is the exchange's matter
            # The limiter stands in front, so that nothing waits in the library's queue.
            limits=httpx2.Limits(keepalive_expiry=KEEPALIVE),
            trust_env=False,
        )

    return host.resource(("motet proxy client", route), make, lambda each: each.aclose())


def _check_client(http_client: Any) -> None:
    """Make sure that a client is of the kind that can be awaited, whichever library it is of."""
    kind = type(http_client).__name__
    if isinstance(http_client, type):
        wrong = f"the class {http_client.__name__}; call it, and keep what it returns open"
    elif not hasattr(http_client, "build_request"):
        wrong = kind
    elif hasattr(http_client, "close") and not hasattr(http_client, "aclose"):
        wrong = f"a synchronous {kind}, which would hold up everything on the event loop"
    else:
        return
    raise TypeError(f"http_client should be an AsyncClient of httpx2 or httpx, not {wrong}")


def _check_headers(headers: Mapping[str, str]) -> None:
    """Make sure that headers can be sent, here where no error has to quote them."""
    for name, value in headers.items():
        if not isinstance(value, str):
            raise TypeError(f"header {name!r} should be a string, not {type(value).__name__}")
        if not (value.isascii() and value.isprintable()) or value != value.strip():
            raise ValueError(
                f"header {name!r} has characters in it that HTTP does not allow, such as a line "
                "end or a quotation mark from a text; if it holds a key, copy that again"
            )


def _secrets_of(route: Route) -> tuple[str, ...]:
    password = urlsplit(route.proxy).password if route.proxy else None
    return (password, unquote(password)) if password else ()


def _theirs(http_client: Any) -> tuple[str, ...]:
    """Return the secrets in the headers and cookies that a user's own client adds."""
    jar = getattr(getattr(http_client, "cookies", None), "jar", ())
    cookies = secrets_in({"cookie": "; ".join(f"{each.name}={each.value}" for each in jar)})
    return (*secrets_in(dict(getattr(http_client, "headers", {}))), *cookies)
