"""How an address of Ollama is read, and what is refused in any address."""

from typing import Any

import httpx2
import pytest

from motet._wire.addresses import DEFAULT_BASE_URL, base_url_from_host, base_url_of


@pytest.mark.parametrize("host", [None, "", " ", "\n", '""', "''"])
def test_no_host_is_the_default(host: str | None) -> None:
    assert base_url_from_host(host) == DEFAULT_BASE_URL == "http://127.0.0.1:11434"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("box", "http://box:11434"),
        ("Box", "http://box:11434"),
        ("box.example", "http://box.example:11434"),
        ("box:8080", "http://box:8080"),
        ("box:", "http://box:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("10.1.2.3", "http://10.1.2.3:11434"),
        ("10.1.2.3:8080", "http://10.1.2.3:8080"),
        ("0.0.0.0", "http://0.0.0.0:11434"),
        ("0.0.0.0:8080", "http://0.0.0.0:8080"),
        ("localhost:1", "http://localhost:1"),
        ("box:65535", "http://box:65535"),
        ("http://box", "http://box:80"),
        ("https://box", "https://box:443"),
        ("HTTPS://box", "https://box:443"),
        ("http://box:8080", "http://box:8080"),
        ("https://box:8080", "https://box:8080"),
        ("http://:8080", "http://127.0.0.1:8080"),
        ("box/", "http://box:11434"),
        ("box:8080/", "http://box:8080"),
        ("http://box/", "http://box:80"),
        ("box/path", "http://box:11434/path"),
        ("box/path/", "http://box:11434/path"),
        ("box:8080/a/b/", "http://box:8080/a/b"),
        ("https://box/a%20b", "https://box:443/a%20b"),
        ("https://box:8080/path", "https://box:8080/path"),
        ("http://box/path?query#fragment", "http://box:80/path"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("[::1]/path/", "http://[::1]:11434/path"),
        ("http://[::1]", "http://[::1]:80"),
        ("https://[::1]:8080/path", "https://[::1]:8080/path"),
        ("::1", "http://[::1]:11434"),
        ("2001:db8::2/path", "http://[2001:db8::2]:11434/path"),
        ("http://::1", "http://[::1]:80"),
        ("fe80::1%eth0", "http://[fe80::1%eth0]:11434"),
        ("  box:8080 \n", "http://box:8080"),
        ('"box:8080"', "http://box:8080"),
        (" 'http://box' ", "http://box:80"),
    ],
)
def test_a_host_is_read_as_the_official_clients_read_it(host: str, url: str) -> None:
    assert base_url_from_host(host) == url
    assert base_url_from_host(url) == url


@pytest.mark.parametrize("port", ["x", "80x", "-1", "0", "65536", "99999999999", "8 0", "8.0"])
@pytest.mark.parametrize("start", ["box:", ":", "http://box:", "[::1]:"])
def test_a_bad_port_is_an_error_that_names_the_variable(start: str, port: str) -> None:
    with pytest.raises(ValueError, match="OLLAMA_HOST"):
        base_url_from_host(start + port)


@pytest.mark.parametrize(
    "host", ["ftp://box", "unix:///run/ollama", "://box", "[::1", "[x]", "a b"]
)
def test_what_is_no_address_is_an_error_that_names_the_variable(host: str) -> None:
    with pytest.raises(ValueError, match="OLLAMA_HOST"):
        base_url_from_host(host)


def test_an_error_names_where_the_address_comes_from() -> None:
    with pytest.raises(ValueError, match="base_url"):
        base_url_from_host("box:x", name="base_url")


@pytest.mark.parametrize("host", ["http://me:secret@box", "me:secret@box:x", "me:secret@[::1"])
def test_a_password_is_refused_and_not_repeated(host: str) -> None:
    with pytest.raises(ValueError, match="header") as caught:
        base_url_from_host(host)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("read", [base_url_from_host, base_url_of])
@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://10.0.0.256:1", "IPv4"),
        ("http://010.0.0.1", "IPv4"),
        ("http://[::1", "brackets"),
        ("http://[v1.a]:1", "brackets"),
        ("http://[::1]x:1", "brackets"),
        ("http://box\x00:1", "control characters"),
        ("http://box:1/\x7f", "control characters"),
        ("http://\u2603:1", "characters"),
        ("http://a\u2100b:1", "no name"),
        ("http://box:x", "a number from 1"),
    ],
)
def test_what_the_http_library_would_refuse_is_refused_at_once(
    read: Any, url: str, wrong: str
) -> None:
    with pytest.raises(ValueError, match=f"OURS .*{wrong}"):
        read(url, name="OURS")
    with pytest.raises(httpx2.InvalidURL):
        httpx2.URL(url)


@pytest.mark.parametrize("read", [base_url_from_host, base_url_of])
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://[fe80::1%eth0]:1", "http://b\u00fccher.example:1"]
)
def test_what_it_takes_is_taken(read: Any, url: str) -> None:
    assert read(url) == url
    httpx2.URL(url)


@pytest.mark.parametrize("read", [base_url_from_host, base_url_of])
@pytest.mark.parametrize(
    "url",
    [
        "http://me:sec/ret@box:1",
        "me:sec/ret@box",
        "http://box:99999?key=sec/ret",
        "http://b ox:1/v1?key=sec/ret",
        "http://box:1/v1?key=sec ret",
        "ftp://box/v1?key=sec/ret",
        "box?key=secret://x",
        "http://[x?key=secret",
        "sk-secret-0123456789://box",
    ],
)
def test_no_error_shows_what_may_be_a_key(read: Any, url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        read(url, name="base_url")
    assert "sec" not in f"{caught.value} {caught.value.__cause__}"
    assert "ret" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(
    "url", ["box:8000/v1?key=secret", "http://?key=secret", "sk-secret-0123456789"]
)
def test_a_key_in_the_place_of_a_url_is_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        base_url_of(url)
    assert "secret" not in str(caught.value)
