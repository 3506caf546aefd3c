"""Log records sent to a web service, by a thread that nobody waits for."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import urllib.request
import warnings
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

__all__ = ["RESTHandler"]

_TIMEOUT: Final = 2.0  # seconds, for one record, and for the last ones when the program ends
_MOST_WAITING: Final = 1000  # records; those that find no room are lost


class RESTHandler(logging.Handler):
    """Sends every record to a web service, as JSON.

    Whoever logs waits for nothing: a thread sends the records, one after the other, and is
    started by the first. A service that is slow or away costs records, and never the program.

    Args:
        api_url: where they are sent.
        method: of HTTP.
        headers: headers of every request, beside the type of the content.

    Attributes:
        api_url, method: as given.
        headers: those that are sent.
    """

    def __init__(
        self, api_url: str, method: str = "POST", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.api_url = api_url
        self.method = method
        self.headers = {"Content-Type": "application/json", **(headers or {})}
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._failed = False
        self._closing = False

    def emit(self, record: logging.LogRecord) -> None:
        """Leave a record to the thread."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        # Whoever calls this has the handler's lock. A forked child has no thread.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._send, name="mellea logs", daemon=True)
            self._thread.start()
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._failed = True

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as it is sent: as its formatter says, or its text as JSON."""
        if self.formatter is not None:
            return super().format(record)
        return json.dumps({"level": record.levelname, "message": record.getMessage()})

    def close(self) -> None:
        """Send what is left, for two seconds at most, and end the thread."""
        self._closing = True
        thread, self._thread = self._thread, None
        if thread is not None and thread.is_alive():
            try:
                self._lines.put_nowait(None)
                thread.join(_TIMEOUT)
            except queue.Full:
                pass  # it is a daemon, and has been too slow all along
        super().close()

    def _send(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._closing and self._failed:
                continue  # the last ones are not worth waiting for in vain
            request = urllib.request.Request(
                self.api_url, line.encode(), self.headers, method=self.method
            )
            try:
                urllib.request.urlopen(request, timeout=_TIMEOUT).close()
                self._failed = False
            except (OSError, ValueError):
                self._failed = True


def webhook_url() -> str | None:
    """Return the address in ``MELLEA_LOGS_WEBHOOK``; None if there is none that will do.

    It must be one of HTTPS, unless ``MELLEA_LOGS_INSECURE_HTTP_ALLOWED`` is ``1`` or ``true``;
    one that will not do is a `UserWarning`.
    """
    url = os.environ.get("MELLEA_LOGS_WEBHOOK", "").strip()
    if not url:
        return None
    insecure = any(
        os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")
        for name in ("MELLEA_LOGS_INSECURE_HTTP_ALLOWED", "MELLEA_LOGGER_INSECURE_HTTP_ALLOWED")
    )
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    except ValueError:
        scheme, host = "", None
    if not host:
        wrong = "it has no hostname"
    elif scheme == "https" or (scheme == "http" and insecure):
        return url
    else:
        wrong = (
            "it should be an address of HTTPS; MELLEA_LOGS_INSECURE_HTTP_ALLOWED=1 allows for one "
            "of HTTP"
        )
    warnings.warn(f"records are not sent to MELLEA_LOGS_WEBHOOK: {wrong}", stacklevel=3)
    return None
