"""The limit on open files, which five thousand connections would hit."""

from __future__ import annotations

import resource


def raise_open_files_limit() -> int:
    """Raise this process's limit on open files as far as it may; return the new one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
