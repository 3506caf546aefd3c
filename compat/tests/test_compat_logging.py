"""The logger of programs: its handlers, its formatters, and the context of its records."""

import contextlib
import contextvars
import io
import json
import logging
import logging.handlers
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mellea.core import utils
from mellea.core.utils import (
    ContextFilter,
    CustomFormatter,
    JsonFormatter,
    MelleaLogger,
    OtelTraceFilter,
    RESTHandler,
    clear_log_context,
    configure_logging,
    log_context,
    set_log_context,
)


def record(message: str = "hello", level: int = logging.INFO, *args: Any) -> logging.LogRecord:
    return logging.LogRecord("test", level, "file.py", 1, message, args, None)


def as_json(each: logging.LogRecord | None = None, **options: Any) -> dict[str, Any]:
    each = each or record()
    ContextFilter().filter(each)
    found: dict[str, Any] = json.loads(JsonFormatter(**options).format(each))
    return found


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., logging.Logger]:
    """Return a logger that is set up by the variables given."""

    def configured(**variables: str) -> logging.Logger:
        for name, value in variables.items():
            monkeypatch.setenv(f"MELLEA_LOGS_{name.upper()}", value)
        logger = logging.Logger("a")  # noqa: LOG001 - one of its own for every test
        configure_logging(logger)
        return logger

    return configured


def test_a_record_as_json() -> None:
    line = as_json()
    assert set(line) == set(JsonFormatter._DEFAULT_FIELDS)
    assert (line["message"], line["level"]) == ("hello", "INFO")
    assert "format error" in as_json(record("%d", logging.INFO, "x"))["message"]
    assert as_json(timestamp_format="%Y")["timestamp"].isdecimal()


def test_the_fields_of_a_line_can_be_chosen() -> None:
    assert set(as_json(include_fields=["level", "message"])) == {"level", "message"}
    assert "process_id" not in as_json(exclude_fields=["process_id"])
    assert as_json(extra_fields={"level": "mine"})["level"] == "mine"
    with pytest.raises(ValueError, match="unknown field names: x"):
        JsonFormatter(include_fields=["x"])


def test_an_exception_is_in_the_line() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        each = record()
        each.exc_info = sys.exc_info()
    assert "ValueError: why" in as_json(each)["exception"]


def test_the_context_is_on_every_record_of_its_task() -> None:
    def inside() -> None:
        set_log_context(request="r1")
        with log_context(request="r2", user="u"):
            assert as_json()["request"] == "r2"
        assert as_json()["request"] == "r1"
        assert "user" not in as_json()
        clear_log_context()
        assert "request" not in as_json()

    contextvars.copy_context().run(inside)
    assert "request" not in as_json()


def test_the_context_goes_with_its_block_also_when_that_fails() -> None:
    with pytest.raises(RuntimeError), log_context(request="r"):
        raise RuntimeError
    assert "request" not in as_json()


@pytest.mark.parametrize("name", ["message", "name", "levelno", "trace_id"])
def test_what_a_record_has_itself_cannot_be_replaced(name: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        set_log_context(**{name: "x"})
    with pytest.raises(ValueError, match="reserved"), log_context(**{name: "x"}):
        pass


def test_records_have_the_trace_that_is_going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    span = SimpleNamespace(is_valid=True, trace_id=3, span_id=2)
    current = SimpleNamespace(get_span_context=lambda: span)
    trace = SimpleNamespace(get_current_span=lambda: current)
    monkeypatch.setattr(utils, "_OTEL_AVAILABLE", True)
    monkeypatch.setattr(utils, "otel_trace", trace, raising=False)
    each = record()
    assert OtelTraceFilter().filter(each)
    assert as_json(each)["trace_id"] == f"{3:032x}"
    assert f"trace_id={3:032x} span_id={2:016x}" in CustomFormatter().format(each)
    span.is_valid = False
    each = record()
    assert OtelTraceFilter().filter(each)
    assert not hasattr(each, "trace_id")
    assert "trace_id" not in CustomFormatter().format(each)


def test_the_console_is_standard_output(environment: Callable[..., logging.Logger]) -> None:
    (handler,) = environment().handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stdout
    assert isinstance(handler.formatter, CustomFormatter)
    with contextlib.redirect_stdout(io.StringIO()) as elsewhere:
        handler.emit(record("now"))
    assert "now" in elsewhere.getvalue()
    text = handler.format(record())
    assert text.endswith("-INFO ======\nhello\x1b[0m")


@pytest.mark.parametrize("switch", ["enabled", "console"])
@pytest.mark.parametrize("off", ["0", "false", "No", " off "])
def test_the_console_can_be_switched_off(
    switch: str, off: str, environment: Callable[..., logging.Logger]
) -> None:
    assert environment(**{switch: off}).handlers == []


@pytest.mark.parametrize("on", ["1", "true", "YES"])
def test_the_console_can_have_json(on: str, environment: Callable[..., logging.Logger]) -> None:
    (handler,) = environment(json=on).handlers
    assert isinstance(handler.formatter, JsonFormatter)


def test_records_can_go_to_files(
    tmp_path: Path, environment: Callable[..., logging.Logger]
) -> None:
    logger = environment(file=str(tmp_path / "a"), file_max_bytes="1000", console="0")
    (handler,) = logger.handlers
    assert isinstance(handler, logging.handlers.RotatingFileHandler)
    assert (handler.maxBytes, handler.backupCount) == (1000, 5)
    logger.warning("into the file")
    handler.close()
    assert "into the file" in (tmp_path / "a").read_text()


@pytest.mark.parametrize(
    "wrong", [{"file_max_bytes": "many"}, {"file_backup_count": "-1"}, {"file": "/dev/null/no"}]
)
def test_a_file_that_cannot_be_written_is_a_warning(
    wrong: dict[str, str], tmp_path: Path, environment: Callable[..., logging.Logger]
) -> None:
    with pytest.warns(UserWarning, match="MELLEA_LOGS_FILE"):
        logger = environment(**{"file": str(tmp_path / "a"), **wrong})
    assert len(logger.handlers) == 1


class Service(HTTPServer):
    got: list[tuple[str, dict[str, Any]]]


@pytest.fixture
def service() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.got.append((self.headers["X-Key"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    made = Service(("127.0.0.1", 0), Handler)
    made.got = []
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_records_can_go_to_a_web_service(service: Service) -> None:
    handler = RESTHandler(f"http://127.0.0.1:{service.server_port}", headers={"X-Key": "k"})
    handler.handle(record("one"))
    handler.setFormatter(JsonFormatter())
    handler.handle(record("two"))
    handler.close()
    assert [key for key, _ in service.got] == ["k", "k"]
    assert service.got[0][1] == {"level": "INFO", "message": "one"}
    assert service.got[1][1]["message"] == "two"
    assert not [each for each in threading.enumerate() if each.name == "mellea logs"]


def test_a_web_service_that_is_away_costs_records_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = RESTHandler("http://127.0.0.1:1")
    for _ in range(1200):
        handler.handle(record())
    handler.handle(record("%d", logging.INFO, "x"))
    handler.close()
    handler.close()
    assert "Logging error" in capsys.readouterr().err  # of what cannot be formatted


@pytest.mark.parametrize(
    ("url", "allowed", "wrong"),
    [
        ("https://example.com/logs", "", None),
        ("http://localhost:9/logs", "1", None),
        ("http://localhost:9/logs", "", "HTTPS"),
        ("ftp://localhost:9/logs", "1", "HTTPS"),
        ("https://", "", "hostname"),
        ("https://[", "", "hostname"),
    ],
)
def test_a_web_service_must_be_one_of_https(
    url: str,
    allowed: str,
    wrong: str | None,
    environment: Callable[..., logging.Logger],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MELLEA_LOGS_INSECURE_HTTP_ALLOWED", allowed)
    if wrong is None:
        (handler,) = environment(webhook=url, console="0").handlers
        assert isinstance(handler, RESTHandler)
        assert handler.api_url == url
        handler.close()
    else:
        with pytest.warns(UserWarning, match=wrong):
            assert environment(webhook=url, console="0").handlers == []


def test_the_logger_is_set_up_once(
    no_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELLEA_LOGS_LEVEL", "debug")
    logger = MelleaLogger.get_logger()
    assert logger is no_logger is MelleaLogger.get_logger()
    assert logger.level == logging.DEBUG
    assert len(logger.handlers) == 1
    assert {type(each) for each in logger.filters} == {ContextFilter, OtelTraceFilter}
    assert logger.propagate


@pytest.mark.parametrize(("given", "level"), [("", logging.INFO), ("loud", logging.INFO)])
def test_a_level_that_is_none_is_info(
    given: str, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELLEA_LOGS_LEVEL", given)
    assert MelleaLogger._resolve_log_level() == level


def test_the_level_of_the_program_stays(no_logger: logging.Logger) -> None:
    no_logger.setLevel(logging.ERROR)
    assert MelleaLogger.get_logger().level == logging.ERROR


def test_what_motet_logs_goes_to_the_handlers_of_the_logger(no_logger: logging.Logger) -> None:
    utils.adopt_records_of_motet()
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    no_logger.addHandler(handler)
    logging.getLogger("motet").warning("from motet")
    assert [each.getMessage() for each in seen] == ["from motet"]
    assert seen[0].name == "motet"
