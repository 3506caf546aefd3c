"""Addresses of model servers, as people write them.

This module knows text and looks nothing up.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from motet._values.secrets import redacted

DEFAULT_BASE_URL: Final = "http://127.0.0.1:11434"

_OPENAI_EXAMPLE: Final = "http://127.0.0.1:8000/v1"

_NO_IPV6: Final = "there is no IPv6 address in its brackets"


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
        raise ValueError(f"{name} must begin with http:// or https://{_instead_of(scheme)}")
    if not separator:
        default_port = 11434
    if "@" in rest.partition("/")[0]:
        # Not quoted: it would put the password into logs.
        raise ValueError(f"{name} must not contain a user name or password; send them in a header")
    parts = _split(rest, name, DEFAULT_BASE_URL)
    port = _port(parts, name, rest)
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
        raise ValueError(f"{name} must be a URL such as {_OPENAI_EXAMPLE}{_instead_of(scheme)}")
    if "@" in rest.partition("/")[0]:
        # Not quoted: it would put the password into logs.
        raise ValueError(f"{name} must not contain a user name or password; pass api_key=")
    parts = _split(rest, name, _OPENAI_EXAMPLE)
    _port(parts, name, rest)
    if not parts.hostname:
        raise ValueError(f"{name} must be a URL such as {_OPENAI_EXAMPLE}; it names no host")
    query = f"?{parts.query}" if parts.query else ""
    return f"{scheme.lower()}://{parts.netloc}{parts.path.rstrip('/')}{query}"


def below(base_url: str, path: str) -> str:
    """Return the URL of a path below a base URL; a query stays at the end."""
    stem, mark, query = base_url.partition("?")
    return f"{stem}{path}{mark}{query}"


def host_complaint(parts: SplitResult) -> str:
    """Return what is wrong with the host of a URL, without quoting it; ``""`` if nothing is.

    Names are not looked up. What is refused is what the HTTP library would refuse later.
    """
    host = parts.hostname or ""
    if any(character.isspace() or not character.isprintable() for character in host):
        return "its host has blanks or control characters in it"
    bracketed = re.match(r"\[(.*)\](:|$)", parts.netloc.rpartition("@")[2])
    if "[" in parts.netloc and not (bracketed and _reads(ipaddress.IPv6Address, bracketed[1])):
        return _NO_IPV6
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", host) and not _reads(ipaddress.IPv4Address, host):
        return "its host is no IPv4 address, which is four numbers from 0 to 255"
    if not host.isascii() and not _is_international(host):
        return "its host has characters in it that no name of a host may have"
    return ""


def _split(rest: str, name: str, example: str) -> SplitResult:
    authority, slash, path = rest.partition("/")
    if _reads(ipaddress.IPv6Address, authority):  # without the brackets that a URL wants
        authority = f"[{authority}]"
    parts = None
    try:
        parts = urlsplit(f"//{authority}{slash}{path}")
        complaint = host_complaint(parts)
    except ValueError:
        complaint = _NO_IPV6 if "[" in authority else "its host is no name of a host"
    if not complaint and any(each.isspace() or not each.isprintable() for each in rest):
        complaint = "it has blanks or control characters in it"
    if parts is None or complaint:
        raise ValueError(
            f"{name} is not an address ({complaint}); it should be one such as {example}"
            f"{_instead_of(rest)}"
        )
    return parts


def _port(parts: SplitResult, name: str, rest: str) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"the port in {name} must be a number from 1 to 65535{_instead_of(rest)}")
    return port


def _instead_of(given: str) -> str:
    """Return what to add to the news that something is no address: the part up to the path.

    What follows may be a key, and what comes before an ``@`` a password, also where it has
    a slash in it and the rest only looks like a path.
    """
    authority = re.split(r"[/?#]", given, maxsplit=1)[0]
    return "" if "@" in given else f", not {redacted(authority)[:80]!r}"


def _is_international(host: str) -> bool:
    """Whether a host's name that is not in ASCII can be written in it."""
    import idna  # comes with the HTTP library, which asks it too; seldom needed and not small

    return _reads(idna.encode, host.lower())


def _reads(read: Callable[[str], object], text: str) -> bool:
    """Whether a function can read a text."""
    try:
        read(text)
    except ValueError:
        return False
    return True
