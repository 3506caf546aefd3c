"""The logger, and what may be added to its records.

motet logs under the name ``motet``, and its records go to the handlers of the logger
``mellea``, too.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import json
import logging
import logging.handlers
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final, TextIO

from .webhook import RESTHandler as RESTHandler
from .webhook import webhook_url as _resolve_webhook_url

__all__ = [
    "ContextFilter",
    "CustomFormatter",
    "JsonFormatter",
    "MelleaLogger",
    "OtelTraceFilter",
    "RESTHandler",
    "clear_log_context",
    "configure_logging",
    "log_context",
    "set_log_context",
]

try:
    otel_trace: Any = importlib.import_module("opentelemetry.trace")

    _OTEL_AVAILABLE = True
except ImportError:
    _OTEL_AVAILABLE = False

RESERVED_LOG_RECORD_ATTRS: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "trace_id", "span_id"} - {"asctime", "taskName"}
)
"""What a record has of its own, and no context may replace."""

_DEFAULT_MAX_BYTES: Final = 10 * 1024 * 1024
_DEFAULT_BACKUPS: Final = 5

_context: Final[ContextVar[Mapping[str, Any]]] = ContextVar(
    "mellea log context", default=MappingProxyType({})
)


def set_log_context(**fields: Any) -> None:
    """Add fields to every record that this task or thread logs from now on.

    Raises:
        ValueError: a record has a field of that name itself.
    """
    reserved = sorted(RESERVED_LOG_RECORD_ATTRS.intersection(fields))
    if reserved:
        raise ValueError(
            f"{', '.join(reserved)}: these names are reserved, as every log record has them itself"
        )
    _context.set({**_context.get(), **fields})


def clear_log_context() -> None:
    """Take away the fields that `set_log_context` added."""
    _context.set({})


@contextlib.contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add fields to the records that are logged in the block.

    Raises:
        ValueError: a record has a field of that name itself.
    """
    before = _context.get()
    set_log_context(**fields)
    try:
        yield
    finally:
        _context.set(before)


class ContextFilter(logging.Filter):
    """Puts the fields of the context on every record. It lets all of them through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields, and let the record through."""
        for name, value in _context.get().items():
            setattr(record, name, value)
        record.mellea_context = tuple(_context.get())
        return True


class OtelTraceFilter(logging.Filter):
    """Puts the trace and the span of OpenTelemetry on every record, if there are any."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add ``trace_id`` and ``span_id``, and let the record through."""
        if _OTEL_AVAILABLE:
            span = otel_trace.get_current_span().get_span_context()
            if span.is_valid:
                record.trace_id = f"{span.trace_id:032x}"
                record.span_id = f"{span.span_id:016x}"
        return True


class JsonFormatter(logging.Formatter):
    """Makes one line of JSON of a record.

    Args:
        timestamp_format: as `time.strftime` has it; the time is UTC.
        include_fields: the fields to write; all without it.
        exclude_fields: fields not to write.
        extra_fields: what every line has beside them.

    Raises:
        ValueError: *include_fields* names a field that there is not.
    """

    _DEFAULT_FIELDS: Final = (
        "timestamp",
        "level",
        "message",
        "module",
        "function",
        "line_number",
        "process_id",
        "thread_id",
    )

    def __init__(
        self,
        timestamp_format: str = "%Y-%m-%dT%H:%M:%S",
        include_fields: Sequence[str] | None = None,
        exclude_fields: Sequence[str] | None = None,
        extra_fields: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        unknown = sorted(set(include_fields or ()).difference(self._DEFAULT_FIELDS))
        if unknown:
            raise ValueError(
                f"unknown field names: {', '.join(unknown)}; "
                f"there are {', '.join(self._DEFAULT_FIELDS)}"
            )
        chosen = self._DEFAULT_FIELDS if include_fields is None else include_fields
        self._fields = [name for name in chosen if name not in (exclude_fields or ())]
        self._extra = dict(extra_fields or {})
        self._timestamp_format = timestamp_format

    def format_as_dict(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return a record as what becomes the line."""
        return self._build_log_dict(record)

    def _build_log_dict(self, record: logging.LogRecord) -> dict[str, Any]:
        try:
            message = record.getMessage()
        except (TypeError, ValueError) as exc:
            message = f"{record.msg} (format error: {exc})"
        created = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        every = {
            "timestamp": created.strftime(self._timestamp_format),
            "level": record.levelname,
            "message": message,
            "module": record.module,
            "function": record.funcName,
            "line_number": record.lineno,
            "process_id": record.process,
            "thread_id": record.thread,
        }
        line: dict[str, Any] = {name: every[name] for name in self._fields}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        for name in ("trace_id", "span_id", *getattr(record, "mellea_context", ())):
            if hasattr(record, name):
                line[name] = getattr(record, name)
        return line | dict(_context.get()) | self._extra

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line of JSON."""
        return json.dumps(self._build_log_dict(record), default=str, ensure_ascii=False)


class CustomFormatter(logging.Formatter):
    """Makes text of a record, coloured by its level."""

    _COLOURS: Final = {
        logging.DEBUG: "\x1b[38;20m",
        logging.INFO: "\x1b[38;20m",
        logging.WARNING: "\x1b[33;20m",
        logging.ERROR: "\x1b[31;20m",
        logging.CRITICAL: "\x1b[31;1m",
    }
    _RESET: Final = "\x1b[0m"
    _FORM: Final = "=== %(asctime)s-%(levelname)s ======\n%(message)s"

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text, with its trace if it has one."""
        colour = self._COLOURS.get(record.levelno, "")
        text = logging.Formatter(self._FORM, datefmt="%H:%M:%S").format(record)
        trace = " ".join(
            f"{name}={getattr(record, name)}"
            for name in ("trace_id", "span_id")
            if hasattr(record, name)
        )
        return f"{colour}{text}{f' [{trace}]' if trace else ''}{self._RESET}"


def _parse_bool_env(value: str, default: bool = True) -> bool:
    match value.strip().lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
        case _:
            return default


def _flag(name: str, default: bool) -> bool:
    return _parse_bool_env(os.environ.get(name, ""), default)


class _Console(logging.StreamHandler[TextIO]):
    """Writes to whatever standard output is at the moment, which tests and programs replace."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # there is nothing to set
        return sys.stdout


def configure_logging(logger: logging.Logger) -> None:
    """Give a logger the handlers that the environment asks for.

    ``MELLEA_LOGS_ENABLED`` and ``MELLEA_LOGS_CONSOLE`` (true without them) are for the console,
    which is standard output; ``MELLEA_LOGS_JSON`` makes lines of JSON of the records.
    ``MELLEA_LOGS_FILE`` names a file, ``MELLEA_LOGS_FILE_MAX_BYTES`` (10485760) and
    ``MELLEA_LOGS_FILE_BACKUP_COUNT`` (5) say when another is begun and how many are kept.
    ``MELLEA_LOGS_WEBHOOK`` is the address of a web service. What cannot be done is a
    `UserWarning`. Doing it twice gives two of each.
    """
    if not _flag("MELLEA_LOGS_ENABLED", default=True):
        return
    as_json = _flag("MELLEA_LOGS_JSON", default=False)
    if _flag("MELLEA_LOGS_CONSOLE", default=True):
        console = _Console()
        console.setFormatter(JsonFormatter() if as_json else CustomFormatter(datefmt="%H:%M:%S"))
        logger.addHandler(console)
    file = _file_handler()
    if file is not None:
        plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
        file.setFormatter(JsonFormatter() if as_json else plain)
        logger.addHandler(file)
    url = _resolve_webhook_url()
    if url is not None:
        sent = RESTHandler(url)
        sent.setFormatter(JsonFormatter())
        logger.addHandler(sent)


def _file_handler() -> logging.handlers.RotatingFileHandler | None:
    path = os.environ.get("MELLEA_LOGS_FILE", "").strip()
    if not path:
        return None
    try:
        return logging.handlers.RotatingFileHandler(
            path,
            maxBytes=_number("MELLEA_LOGS_FILE_MAX_BYTES", _DEFAULT_MAX_BYTES),
            backupCount=_number("MELLEA_LOGS_FILE_BACKUP_COUNT", _DEFAULT_BACKUPS),
            encoding="utf-8",
        )
    except (OSError, ValueError) as exc:
        warnings.warn(f"records are not written to MELLEA_LOGS_FILE: {exc}", stacklevel=3)
        return None


def _number(name: str, default: int) -> int:
    given = os.environ.get(name, "").strip()
    if not given:
        return default
    if not given.isdecimal():
        raise ValueError(f"{name} should be a whole number, not {given!r}")
    return int(given)


class MelleaLogger:
    """The logger ``mellea``, set up when it is first asked for."""

    CRITICAL: Final = logging.CRITICAL
    FATAL: Final = logging.FATAL
    ERROR: Final = logging.ERROR
    WARNING: Final = logging.WARNING
    WARN: Final = logging.WARNING
    INFO: Final = logging.INFO
    DEBUG: Final = logging.DEBUG
    NOTSET: Final = logging.NOTSET

    logger: logging.Logger | None = None
    _lock: Final = threading.Lock()

    @staticmethod
    def _resolve_log_level() -> int:
        named = logging.getLevelNamesMapping().get(
            os.environ.get("MELLEA_LOGS_LEVEL", "INFO").strip().upper()
        )
        return logging.INFO if named is None else named

    @classmethod
    def get_logger(cls) -> logging.Logger:
        """Return the logger ``mellea``.

        The first call gives it the handlers of `configure_logging`, a level, unless the program
        has set one (``MELLEA_LOGS_LEVEL``, or else INFO), and the filters that add to records.
        """
        with cls._lock:
            if cls.logger is None:
                logger = logging.getLogger("mellea")
                for each in (ContextFilter(), OtelTraceFilter()):
                    if not any(isinstance(old, type(each)) for old in logger.filters):
                        logger.addFilter(each)
                if logger.level == logging.NOTSET:
                    logger.setLevel(cls._resolve_log_level())
                configure_logging(logger)
                cls.logger = logger
            return cls.logger


def adopt_records_of_motet() -> None:
    """Let what motet logs go to the handlers of the logger ``mellea``, once, and then on."""
    logging.getLogger("motet").parent = logging.getLogger("mellea")
