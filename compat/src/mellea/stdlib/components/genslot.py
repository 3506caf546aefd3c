"""What `mellea.stdlib.components.genstub` was called; importing it says so."""

import warnings

from .genstub import *  # noqa: F403 - everything, under its new names, too
from .genstub import AsyncGenerativeStub as AsyncGenerativeSlot
from .genstub import GenerativeStub as GenerativeSlot
from .genstub import SyncGenerativeStub as SyncGenerativeSlot
from .genstub import __all__ as _names

__all__ = [*_names, "AsyncGenerativeSlot", "GenerativeSlot", "SyncGenerativeSlot"]

warnings.warn(
    "mellea.stdlib.components.genslot has been renamed to mellea.stdlib.components.genstub; "
    "update your imports, and write ...Stub for ...Slot",
    DeprecationWarning,
    stacklevel=2,
)
