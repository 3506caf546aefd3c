"""What every test of the mellea path may use: the event loops, and a logger nobody has set up."""

import logging
from collections.abc import Iterator

import pytest

from loops import anyio_backend as anyio_backend
from mellea.core import MelleaLogger


@pytest.fixture
def no_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The logger as it is before anybody has asked for it."""
    logger = logging.getLogger("mellea")
    handlers, filters, level = logger.handlers[:], logger.filters[:], logger.level
    monkeypatch.setattr(MelleaLogger, "logger", None)
    logger.handlers, logger.filters = [], []
    logger.setLevel(logging.NOTSET)
    yield logger
    logger.handlers, logger.filters = handlers, filters
    logger.setLevel(level)
