"""What kind of server is at an address."""

import enum
import ipaddress
import json
import re
import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["_ServerType", "_server_type", "is_vllm_server_with_structured_output"]

# From here on vLLM takes a schema as `structured_outputs`, and before as `guided_json`.
_FIRST_WITH_STRUCTURED_OUTPUTS: Final = (0, 12, 0)
_TIMEOUT: Final = 5.0  # seconds
_LOCAL_NAMES: Final = ("localhost", "0.0.0.0", "127.0.0.1", "::1")


class _ServerType(enum.Enum):
    UNKNOWN = 0
    LOCALHOST = 1
    OPENAI = 2
    REMOTE_VLLM = 3


def _server_type(url: str) -> _ServerType:
    """Tell by its address what a server is."""
    host = _host_of(url)
    if host in _LOCAL_NAMES:
        return _ServerType.LOCALHOST
    return _ServerType.OPENAI if host == "api.openai.com" else _ServerType.UNKNOWN


def is_vllm_server_with_structured_output(base_url: str, headers: Mapping[str, Any]) -> bool:
    """Ask a server whether it is a vLLM that knows ``structured_outputs``, 0.12.0 or later.

    It blocks for up to 5 seconds. Nobody is asked at a link-local address, where machines in
    a cloud find their secrets. False also where there is no answer.

    Args:
        base_url: such as ``http://localhost:8000/v1``.
        headers: for the request.
    """
    import httpx2

    host = _host_of(base_url)
    if host is None or _is_link_local(host):
        return False
    url = f"{re.sub(r'/v1/?$', '', base_url).rstrip('/')}/version"
    try:
        answer = httpx2.get(url, headers=dict(headers), timeout=_TIMEOUT, follow_redirects=False)
        version = str(json.loads(answer.text)["version"]) if answer.is_success else ""
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, LookupError, TypeError):
        return False
    numbers = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if numbers is None:
        return False
    return tuple(int(each or 0) for each in numbers.groups()) >= _FIRST_WITH_STRUCTURED_OUTPUTS


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_link_local(host: str) -> bool:
    try:
        addresses = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        addresses = set()
    return any(ipaddress.ip_address(each.partition("%")[0]).is_link_local for each in addresses)
