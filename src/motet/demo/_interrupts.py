"""
Ctrl-C as an event, instead of an exception that may be raised anywhere.

Knows signals and nothing of what is stopped. A `KeyboardInterrupt` in the middle of an
event loop's own work leaves it half done, on any loop; here the signal is only noted
and told to the program, which then stops in good order.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, Self

import anyio

_POLL: Final = 0.1  # seconds


class CtrlC:
    """Notes Ctrl-C from the beginning of its block to its end, or to `restore`.

    It does nothing where there is nothing to note: in a thread that signals do not
    reach, and where whoever started the program, or uses it as a part, has decided
    otherwise about Ctrl-C.

    Attributes:
        pressed: whether it was.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._notes = False

    def __enter__(self) -> Self:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._notes = True
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Let Ctrl-C raise `KeyboardInterrupt` again; harmless when repeated."""
        if self._notes:
            self._notes = False
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True

    async def listen(self, interrupt: Callable[[], None]) -> None:
        """Call *interrupt* each time it is pressed, and at once if it was before.

        Runs until cancelled, so that somebody who presses it again and again does not
        break what the first time has set off.
        """
        if not self._notes:
            return
        try:
            with anyio.open_signal_receiver(signal.SIGINT) as signals:
                if self.pressed:
                    interrupt()
                async for _ in signals:
                    self.pressed = True
                    interrupt()
        except NotImplementedError:  # pragma: no cover - asyncio on Windows
            while not self.pressed:  # noqa: ASYNC110 - a signal handler can set no event
                await anyio.sleep(_POLL)
            interrupt()
