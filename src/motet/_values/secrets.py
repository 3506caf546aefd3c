"""What must not be shown, and text without it.

Keys and passwords travel in headers, in URLs and now and then in a body, and servers
repeat them in their errors. Whatever shows a request or what came of it (a message, a
log, a ``repr``, a recording) passes through here first.

This module knows where credentials stand and what they look like. It keeps none.
"""

import base64
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

REDACTED: Final = "[redacted]"

# A shorter secret is a placeholder, such as the "ollama" or "EMPTY" that local servers are
# given, and to take it out would take words out of every message.
MIN_SECRET_CHARACTERS: Final = 8

# Headers of requests and responses that carry credentials, in lower case; others are told
# by their names.
_SENSITIVE_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "authentication-info",
        "proxy-authentication-info",
        "cookie",
        "set-cookie",
        "openai-organization",
        "openai-project",
    }
)
_SENSITIVE_WORDS: Final = r"api[-_ ]?key|apikey|access[-_]?key|subscription[-_]key|secret|token|password|passwd|credential|signature"
_SENSITIVE_NAME: Final = re.compile(_SENSITIVE_WORDS, re.IGNORECASE)
# Further ones in the names of headers only: elsewhere a key is mostly that of a table.
_SENSITIVE_IN_HEADERS: Final = re.compile(r"-(?:key|auth|session|jwt)(?:-|$)", re.IGNORECASE)
# What has such a word in it and is a number.
_COUNTS: Final = re.compile(r"tokens", re.IGNORECASE)

# Words follow the same names ("unexpected token: newline"); a credential has a digit in it
# or is longer than words are. Repetitions are bounded, lest a long text takes quadratic time.
_VALUE: Final = r"""(?=[^\s"'&,;}]{0,200}[0-9]|[^\s"'&,;}]{16})(?!\[redacted\])[^\s"'&,;}]{6,}"""

_PATTERNS: Final = (
    # The value of an Authorization header, wherever it is quoted.
    (re.compile(rf"\b(Bearer|Basic|Token|ApiKey)(\s+){_VALUE}"), rf"\1\2{REDACTED}"),
    # A name and a value: JSON, forms, queries, Python, headers.
    (
        re.compile(
            rf"""((?:{_SENSITIVE_WORDS})["']?\s*[:=]\s*["']?){_VALUE}""",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    # Keys that name their maker: OpenAI, Anthropic and OpenRouter, Groq, Hugging Face, xAI,
    # NVIDIA, GitHub, Replicate; Google; Amazon. OpenAI quotes them with stars in the middle.
    (
        re.compile(
            r"\b(?:sk|gsk|rk|pk|hf|xai|nvapi|ghp|gho|ghs|github_pat|r8)[-_](?=\S{0,200}[0-9*])[\w*-]{8,}"
            r"|\bAIza[\w-]{20,}|\bAKIA[A-Z0-9]{12,}"
        ),
        REDACTED,
    ),
    # User name and password of a URL.
    (re.compile(r"""(\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/?#@"']+@"""), rf"\1{REDACTED}@"),
)


def is_sensitive(name: str) -> bool:
    """Whether a header, a query parameter or a field with this name carries a credential."""
    lowered = name.lower()
    if lowered in _SENSITIVE_HEADERS:
        return True
    return bool(_SENSITIVE_NAME.search(_COUNTS.sub("", lowered)))


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without what is, or looks like, a credential.

    Args:
        text: any text; one that has nothing to hide comes back as it is.
        secrets: what is known to be secret; a value of less than `MIN_SECRET_CHARACTERS`
            characters is not looked for.
    """
    # Longest first, so that no part of one that contains another is left.
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET_CHARACTERS:
            text = text.replace(secret, REDACTED)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def shown_url(url: str) -> str:
    """Return a URL as it may be shown: without user name, password and the values of its query.

    Whatever a query is asked for by, a gateway may take a key there.
    """
    stem, mark, query = url.partition("#")[0].partition("?")
    scheme, separator, rest = stem.partition("://") if "://" in stem else ("", "", stem)
    authority, slash, path = rest.partition("/")
    named = (name for name, _value in _parameters(query))
    shown = "&".join(f"{name}={REDACTED}" if name else REDACTED for name in named)
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}{mark}{shown}"


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    """Return the names and values of a query as they stand there; one without a name is all value."""
    for each in query.split("&"):
        name, equals, value = each.partition("=")
        if each:
            yield (name, value) if equals else ("", each)


def redacted_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with the values of those that carry credentials replaced."""
    return {
        name: REDACTED if _carries_credentials(name) else redacted(value)
        for name, value in headers.items()
    }


def redacted_value(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return parsed JSON without what is, or looks like, a credential.

    Strings are looked into at every depth, and fields whose names say that they carry a
    credential lose their value.
    """
    known = tuple(secrets)
    match value:
        case str():
            return redacted(value, known)
        case Mapping():
            return {
                key: REDACTED
                if isinstance(key, str) and isinstance(item, str) and is_sensitive(key)
                else redacted_value(item, known)
                for key, item in value.items()
            }
        case list() | tuple():
            return [redacted_value(item, known) for item in value]
        case _:
            return value


def secrets_in(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secrets that headers carry, to give them to `redacted`.

    That is what a server repeats: of ``Authorization: Bearer KEY`` the key, of ``Basic`` what
    is written in there as well, and of cookies the value of each.
    """
    found: list[str] = []
    for name, value in headers.items():
        if "authorization" in name.lower():
            found += _secrets_of_authorization(value)
        elif name.lower() == "cookie":
            found += (value, *_secrets_of_cookies(value))
        elif _carries_credentials(name):
            found.append(value)
    return tuple(dict.fromkeys(each for each in found if each))


def _carries_credentials(header: str) -> bool:
    return is_sensitive(header) or bool(_SENSITIVE_IN_HEADERS.search(header))


def _secrets_of_authorization(value: str) -> Iterator[str]:
    scheme, _, rest = value.partition(" ")
    credentials = rest.strip() or value
    yield credentials
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            pair = base64.b64decode(credentials).decode()
            yield from (pair, pair.partition(":")[2])


def _secrets_of_cookies(value: str) -> Iterator[str]:
    for cookie in value.split(";"):
        content = cookie.partition("=")[2].strip().strip('"')
        yield from (content, unquote(content))


def secrets_in_url(url: str) -> tuple[str, ...]:
    """Return what may be secret in the query of a URL, to give it to `redacted`.

    That is every value, as it is sent and as a server reads it, but for the version of an API:
    errors are about that one.
    """
    _stem, _, query = url.partition("#")[0].partition("?")
    found = [value for name, value in _parameters(query) if "version" not in name.lower()]
    return tuple(
        dict.fromkeys(each for value in found for each in (value, unquote_plus(value)) if each)
    )
