"""How to get to a server: TLS, a Unix socket, a proxy.

This module decides, and checks what it is told. It opens nothing; connecting is the
matter of `connection`, and where there is a proxy of `httpx2`.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import ssl
from typing import Final
from urllib.parse import SplitResult, urlsplit

import attrs

from .._wire.addresses import host_complaint

PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")


@attrs.frozen
class Route:
    """The way to a server.

    Attributes:
        ssl_context: settings for https; None for the certificate authorities that the
            system trusts.
        uds: the path of a Unix socket to connect to instead of the URL's host.
        proxy: the URL of a proxy, or None.
    """

    ssl_context: ssl.SSLContext | None = None
    uds: str | None = None
    proxy: str | None = attrs.field(default=None, repr=False)  # it may have a password in it

    @property
    def hint(self) -> str:
        """What to add to the news that nothing answers; empty if the way is straight."""
        if self.proxy is None:
            return ""
        parts = urlsplit(self.proxy)
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return f'; it was asked for through the proxy {address}, which proxy="" leaves out'


DIRECT: Final = Route()


def route_to(
    url: str,
    *,
    ssl_context: ssl.SSLContext | None = None,
    uds: str | os.PathLike[str] | None = None,
    proxy: str | None = None,
) -> Route:
    """Return the way to the server at *url*.

    Args:
        url: its http or https URL.
        ssl_context: settings for https.
        uds: the path of a Unix socket.
        proxy: the URL of a proxy; ``""`` for none; None for what the environment says.

    Raises:
        TypeError, ValueError: one of them is not what it should be, or they exclude each
            other; says which.
        ImportError: a SOCKS proxy needs the extra ``motet[socks]``.
    """
    if ssl_context is not None and not isinstance(ssl_context, ssl.SSLContext):
        raise TypeError(
            "ssl_context should be an ssl.SSLContext, such as ssl.create_default_context() "
            f"returns, not {type(ssl_context).__name__}"
        )
    if proxy is not None and not isinstance(proxy, str):
        raise TypeError(f"proxy should be the URL of a proxy, not {type(proxy).__name__}")
    if uds is not None:
        if proxy:
            raise ValueError("uds and proxy exclude each other: there is no proxy to a file")
        return Route(ssl_context, uds=os.fspath(uds))
    if proxy is None:
        name, found = _proxy_of_environment(url)
    else:
        name, found = "proxy", proxy
    return Route(ssl_context, proxy=_checked(found, name) if found else None)


def _proxy_of_environment(url: str) -> tuple[str, str]:
    """Return the proxy that the environment names for a URL, and what names it.

    The variables are HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in capitals or not.
    As Go has it, and with it Ollama's own client: never for this machine itself, where no
    proxy could reach it.
    """
    # Not from the top: it is only needed by those who open connections of their own.
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host):
        return "", ""
    proxies = getproxies()
    for scheme in (parts.scheme, "all"):
        if proxies.get(scheme):
            bypassed = proxy_bypass(f"{host}:{parts.port}" if parts.port else host)
            return f"{scheme.upper()}_PROXY", "" if bypassed else proxies[scheme]
    return "", ""


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(proxy: str, name: str) -> str:
    """Return the URL of a proxy, with a scheme. No error quotes it: it may have a password."""
    url = proxy.strip()
    if "://" not in url:
        url = f"http://{url}"
    complaint = _complaint(url)
    if complaint:
        raise ValueError(
            f"{name} should be a URL such as http://box:3128 or socks5://box:1080; {complaint}"
        )
    if url.lower().startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ImportError(
            f"{name} names a SOCKS proxy, which needs the extra socks: pip install 'motet[socks]'"
        )
    return url


def _complaint(url: str) -> str:
    """Return what is wrong with the URL of a proxy, without quoting it; ``""`` if nothing is."""
    if any(each.isascii() and not each.isprintable() for each in url):
        return "it has control characters in it"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "its host is neither a name nor an address"
    if parts.scheme not in PROXY_SCHEMES:
        return f"the schemes are {', '.join(PROXY_SCHEMES)}"
    if not parts.hostname:
        return "it names no host"
    if not _has_port(parts):
        hint = ", and a / in a password should be written as %2F" if "@" in url else ""
        return f"its port should be a number from 1 to 65535{hint}"
    return host_complaint(parts)


def _has_port(parts: SplitResult) -> bool:
    """Whether the port of a URL is one, or left out."""
    try:
        return parts.port != 0
    except ValueError:
        return False
