"""How an address of Ollama is read."""

import pytest

from motet._wire.addresses import DEFAULT_BASE_URL, base_url_from_host


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
