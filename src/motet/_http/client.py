"""The HTTP client of one server on one event loop.

Connections belong to event loops, so a backend has one client for each loop it is used
on: the user's own, or one over the loop's lease transport, which all backends on that
loop share and which is closed with the loop. Nothing is imported or opened before the
first call.
"""

from __future__ import annotations

import importlib
import weakref
from typing import TYPE_CHECKING, Any

from .._runtime.host import LoopHost
from .limiter import CallLimiter, default_limit

if TYPE_CHECKING:
    from .lease import LeaseTransport


class Client:
    """What a backend needs to call its server from one event loop.

    Attributes:
        http: an ``AsyncClient`` of httpx2 or httpx.
        url: where to send requests, parsed once, in the client's own type.
        limiter: places for calls in flight.
    """

    def __init__(self, http: Any, url: str, limiter: CallLimiter) -> None:
        self.http = http
        self.url = type(http.base_url)(url)
        self.limiter = limiter


class Clients:
    """The clients of one backend, one for each event loop.

    Args:
        url: where to send requests.
        http_client: the user's own client, used as it is and never closed by us.
        max_in_flight: how many calls at once on one event loop; None for as many as the
            process may open sockets for.
    """

    def __init__(self, url: str, http_client: Any = None, max_in_flight: int | None = None) -> None:
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
        self._http_client = http_client
        self._max_in_flight = max_in_flight
        # Weak: a loop that is over takes its client with it.
        self._clients: weakref.WeakKeyDictionary[LoopHost, Client] = weakref.WeakKeyDictionary()

    def on(self, host: LoopHost) -> Client:
        """Return the client for the event loop of *host*."""
        client = self._clients.get(host)
        if client is None:
            limiter = CallLimiter(self._max_in_flight or default_limit())
            client = self._clients[host] = Client(
                self._http_client or _make(host), self._url, limiter
            )
        return client

    async def close_idle(self, host: LoopHost) -> None:
        """Close the connections on this event loop that serve nobody."""
        if self._http_client is None and host in self._clients:
            await shared_transport(host).close_idle()


def shared_transport(host: LoopHost) -> LeaseTransport:
    """Return the connections that all backends on one event loop share."""
    from .lease import LeaseTransport

    return host.resource("motet lease transport", LeaseTransport, lambda each: each.aclose())


def _make(host: LoopHost) -> Any:
    import httpx2

    # Never closed itself: that would close the transport, which is the loop's.
    return httpx2.AsyncClient(transport=shared_transport(host), timeout=None)
