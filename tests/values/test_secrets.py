"""Credentials do not get into what is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet._values.secrets import (
    REDACTED,
    is_sensitive,
    redacted,
    redacted_headers,
    redacted_value,
    secrets_in,
    secrets_in_url,
    shown_url,
)

KEY = "sk-proj-AbCdEf0123456789"
PLAIN = "b7f0c2d94c5e4a0f"  # looks like nothing


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {PLAIN}",
        f"{{'authorization': 'Bearer {PLAIN}'}}",
        f"Basic {PLAIN}==",
        f"Incorrect API key provided: {KEY}.",
        "Incorrect API key provided: sk-proj-********************6789.",
        f"api_key={PLAIN}&b=c",
        f'{{"api_key": "{PLAIN}"}}',
        f"x-api-key: {PLAIN}",
        f"https://me:{PLAIN}@box/v1",
        f"socks5://{PLAIN}@box:1080",
        "hf_AbCdEf0123456789",
        "gsk_AbCdEf0123456789",
        "AIzaSyA-0123456789abcdefghij",
    ],
)
def test_what_looks_like_a_credential_is_taken_out(text: str) -> None:
    shown = redacted(text)
    assert REDACTED in shown
    for secret in (PLAIN, KEY, "0123456789", "6789"):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the server at http://127.0.0.1:11434 answered 503: busy",
        "prompt_tokens: 1234567, completion_tokens=1234567",
        "the model 'granite4.1:3b' is not there; `ollama pull granite4.1:3b` fetches it",
        "unexpected token: newline; Basic arithmetic failed; wrong password: denied",
        "a basic error; the bearer of it; ask-me-anything-now",
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate",
    ],
)
def test_what_has_nothing_to_hide_comes_back_as_it_is(text: str) -> None:
    assert redacted(text) == text


def test_what_is_known_to_be_secret_is_found_everywhere() -> None:
    assert redacted(f"a{PLAIN}b", [PLAIN]) == f"a{REDACTED}b"
    assert redacted(f"{PLAIN}-more", [PLAIN, f"{PLAIN}-more"]) == REDACTED
    assert (
        redacted("start it with `ollama serve`", ["ollama", ""]) == "start it with `ollama serve`"
    )


@given(st.text(), st.lists(st.text(min_size=8, alphabet="abcdefgh")))
def test_nothing_of_a_known_secret_is_left(text: str, secrets: list[str]) -> None:
    shown = redacted(text + "".join(secrets), secrets)
    assert not any(secret in shown for secret in secrets if secret not in REDACTED)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "X-API-Key",
        "api-key",
        "Cookie",
        "Set-Cookie",
        "x-auth-token",
        "api_key",
        "Proxy-Authorization",
        "Ocp-Apim-Subscription-Key",
        "OpenAI-Organization",
    ],
)
def test_sensitive_names(name: str) -> None:
    assert is_sensitive(name)
    assert redacted_headers({name: PLAIN}) == {name: REDACTED}


@pytest.mark.parametrize(
    "name", ["content-type", "x-ratelimit-remaining-tokens", "max_tokens", "keep_alive"]
)
def test_other_names(name: str) -> None:
    assert not is_sensitive(name)
    assert redacted_headers({name: "17"}) == {name: "17"}


def test_secrets_are_found_in_headers() -> None:
    headers = {"authorization": f"Bearer {PLAIN}", "x-api-key": KEY, "accept": "a", "cookie": ""}
    assert secrets_in(headers) == (PLAIN, KEY)


@pytest.mark.parametrize(
    ("header", "value", "secrets"),
    [
        ("Authorization", PLAIN, (PLAIN,)),
        ("Proxy-Authorization", f"Bearer  {PLAIN}", (PLAIN,)),
        ("authorization", "Basic bWU6d29yZDpz", ("bWU6d29yZDpz", "me:word:s", "word:s")),
        ("authorization", "Basic no base64", ("no base64",)),
        ("authorization", "Basic /w==", ("/w==",)),
        ("Cookie", PLAIN, (PLAIN,)),
        ("Cookie", f'a={PLAIN}; b="{KEY}"', (f'a={PLAIN}; b="{KEY}"', PLAIN, KEY)),
        ("cookie", "a=x%2Fy=;b", ("a=x%2Fy=;b", "x%2Fy=", "x/y=")),
        ("X-Auth-Key", PLAIN, (PLAIN,)),
        ("x-functions-key", PLAIN, (PLAIN,)),
        ("X-Session-Id", PLAIN, (PLAIN,)),
        ("X-Title", PLAIN, ()),
        ("keep-alive", PLAIN, ()),
    ],
)
def test_of_a_header_what_a_server_repeats_is_secret(
    header: str, value: str, secrets: tuple[str, ...]
) -> None:
    assert secrets_in({header: value}) == secrets
    assert redacted_headers({header: value}) == {header: REDACTED if secrets else value}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://box:8000/v1", "http://box:8000/v1"),
        (f"https://box/v1?api-key={PLAIN}", f"https://box/v1?api-key={REDACTED}"),
        (f"https://box?k={PLAIN}&a=b=c&&d", f"https://box?k={REDACTED}&a={REDACTED}&{REDACTED}"),
        (f"https://box/v1?{PLAIN}", f"https://box/v1?{REDACTED}"),
        (f"https://box/v1?#{PLAIN}", "https://box/v1?"),
        (f"https://me:{PLAIN}@box/v1", "https://box/v1"),
        (f"https://{PLAIN}@box", "https://box"),
        (f"https://me:p@{PLAIN}@[::1]:1/a@b", "https://[::1]:1/a@b"),
        (f"me:{PLAIN}@box/v1?u=http://a/", f"box/v1?u={REDACTED}"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret_in_it(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert shown_url(shown) == shown


def test_the_values_of_a_query_are_secrets_but_for_the_version() -> None:
    url = f"https://box/v1?api-version=2024-10-21&key={PLAIN}&code=a%2Fb%3D%3D&{KEY}&empty=#x=y"
    assert secrets_in_url(url) == (PLAIN, "a%2Fb%3D%3D", "a/b==", KEY)
    assert secrets_in_url("https://box/v1") == ()


def test_a_body_is_looked_into_at_every_depth() -> None:
    body = {
        "model": "m",
        "tools": [{"headers": {"Authorization": PLAIN}, "url": f"http://a:{PLAIN}@b/"}],
        "max_tokens": 17,
        "messages": ({"content": f"my key is {KEY}, yours?"},),
        3: None,
    }
    shown = redacted_value(body)
    assert PLAIN not in str(shown)
    assert KEY not in str(shown)
    assert shown["max_tokens"] == 17
    assert shown["messages"][0]["content"] == f"my key is {REDACTED}, yours?"
    assert shown[3] is None
