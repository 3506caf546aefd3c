"""Addresses of model servers, as people write them.

This module knows text and looks nothing up.
"""

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

DEFAULT_BASE_URL: Final = "http://127.0.0.1:11434"


def base_url_from_host(host: str | None, *, name: str = "OLLAMA_HOST") -> str:
    """Return the base URL that *host* means, as Ollama's own clients read it.

    Without a scheme the port is 11434 if none is given, with one it is the scheme's own.
    A path is kept, without the slash at its end; what follows the path is not.

    Args:
        host: such as ``box``, ``:8080``, ``box:8080``, ``[::1]``, ``https://box/ollama``;
            ``None`` and blank for the default. Blanks and quotes around it do not count.
        name: where *host* comes from, for the errors.

    Raises:
        ValueError: *host* is no such address.
    """
    address = (host or "").strip(" \t\r\n\"'")
    if not address:
        return DEFAULT_BASE_URL
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "http", address
    default_port = {"http": 80, "https": 443}.get(scheme.lower())
    if default_port is None:
        raise ValueError(f"{name} must begin with http:// or https://, not {scheme}://")
    if not separator:
        default_port = 11434
    if "@" in rest.partition("/")[0]:
        # Not quoted: it would put the password into logs.
        raise ValueError(f"{name} must not contain a user name or password; send them in a header")
    parts = _split(rest, name)
    port = _port(parts, name)
    hostname = parts.hostname or "127.0.0.1"
    if ":" in hostname:
        hostname = f"[{hostname}]"
    path = parts.path.rstrip("/")
    return f"{scheme.lower()}://{hostname}:{default_port if port is None else port}{path}"


def base_url_of(url: str, *, name: str = "base_url") -> str:
    """Return a base URL without the slash at its end; a path and a query are kept.

    Raises:
        ValueError: *url* is not an http or https URL, or has a user name or password in it.
    """
    address = url.strip(" \t\r\n\"'")
    scheme, separator, rest = address.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise ValueError(
            f"{name} must be a URL such as http://127.0.0.1:8000/v1, not {scheme[:80]!r}"
        )
    if "@" in rest.partition("/")[0]:
        # Not quoted: it would put the password into logs.
        raise ValueError(f"{name} must not contain a user name or password; pass api_key=")
    parts = _split(rest, name)
    _port(parts, name)
    if not parts.hostname:
        raise ValueError(f"{name} names no host: {address!r}")
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme.lower()}://{parts.netloc}{parts.path.rstrip('/')}{query}"


def below(base_url: str, path: str) -> str:
    """Return the URL of a path below a base URL; a query stays at the end."""
    stem, mark, query = base_url.partition("?")
    return f"{stem}{path}{mark}{query}"


def _split(rest: str, name: str) -> SplitResult:
    authority, slash, path = rest.partition("/")
    if _is_ipv6(authority):
        authority = f"[{authority}]"
    try:
        parts = urlsplit(f"//{authority}{slash}{path}")
    except ValueError as exc:
        raise ValueError(f"{name} is not an address ({exc}): {rest!r}") from exc
    if any(character.isspace() for character in rest):
        raise ValueError(f"{name} is not an address (it has blanks in it): {rest!r}")
    return parts


def _port(parts: SplitResult, name: str) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"the port in {name} must be a number from 1 to 65535: {parts.netloc!r}")
    return port


def _is_ipv6(text: str) -> bool:
    """Whether *text* is an IPv6 address that lacks the brackets a URL wants."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
