"""The HTTP client of one server on one event loop.

Connections belong to event loops, so a backend has one client for each loop it is used
on: the user's own, or one over the loop's lease transport, which all backends on that
loop share and which is closed with the loop. Nothing is imported or opened before the
first call.
"""

from __future__ import annotations

import functools
import importlib
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .._runtime.host import LoopHost
from .exchange import Send
from .limiter import CallLimiter, default_limit

if TYPE_CHECKING:
    from .lease import LeaseTransport


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
            process may open sockets for.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        http_client: Any = None,
        max_in_flight: int | None = None,
    ) -> None:
        if max_in_flight is not None and (not isinstance(max_in_flight, int) or max_in_flight < 1):
            raise ValueError(
                f"max_in_flight should be a whole number from 1, or None, not {max_in_flight!r}"
            )
        if http_client is not None and not hasattr(http_client, "build_request"):
            raise TypeError(
                "http_client should be an AsyncClient of httpx2 or httpx, "
                f"not {type(http_client).__name__}"
            )
        if http_client is None:
            # Here and not at the first call: it takes a tenth of a second, and then other
            # tasks would stand still and the call's own time would be running.
            importlib.import_module(".lease", __package__)
        self._url = url
        self._headers = headers
        self._http_client = http_client
        self._max_in_flight = max_in_flight
        # Weak: a loop that is over takes its client with it.
        self._clients: weakref.WeakKeyDictionary[LoopHost, Client] = weakref.WeakKeyDictionary()

    def on(self, host: LoopHost) -> Client:
        """Return the client for the event loop of *host*."""
        client = self._clients.get(host)
        if client is None:
            limiter = CallLimiter(self._max_in_flight or default_limit())
            make = (
                self._through_theirs
                if self._http_client
                else functools.partial(self._over_lease, weakref.ref(host))
            )
            client = self._clients[host] = Client(make, self._url, limiter)
        return client

    def _over_lease(self, of: weakref.ref[LoopHost], method: str, address: str) -> Send:
        """Return what sends over the loop's own connections.

        Straight to the transport: what a client of the library adds to a request (cookies,
        redirects, authentication) is not wanted, and costs more than the request.
        """
        import httpx2

        host = of()
        assert host is not None  # who asks runs on it
        transport, url = shared_transport(host), httpx2.URL(address)
        headers = httpx2.Headers({"host": url.netloc.decode("ascii"), **self._headers})

        async def send(content: bytes, extensions: dict[str, Any]) -> Any:
            request = httpx2.Request(
                method, url, headers=headers, content=content or None, extensions=extensions
            )
            return await transport.handle_async_request(request)

        return send

    def _through_theirs(self, method: str, address: str) -> Send:
        """Return what sends through the user's own client."""
        http, headers = self._http_client, self._headers
        url = type(http.base_url)(address)  # parsed once, in the client's own type

        async def send(content: bytes, extensions: dict[str, Any]) -> Any:
            request = http.build_request(
                method,
                url,
                content=content or None,
                headers=headers,
                timeout=None,
                extensions=extensions,
            )
            return await http.send(request, stream=True)

        return send

    async def close_idle(self, host: LoopHost) -> None:
        """Close the connections on this event loop that serve nobody."""
        if self._http_client is None and host in self._clients:
            await shared_transport(host).close_idle()


def shared_transport(host: LoopHost) -> LeaseTransport:
    """Return the connections that all backends on one event loop share."""
    from .lease import LeaseTransport

    return host.resource("motet lease transport", LeaseTransport, lambda each: each.aclose())
