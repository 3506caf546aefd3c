"""Files to print to that are, or are not, a terminal."""

import io
import re
import threading

import anyio.to_thread

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal(io.StringIO):
    """Something that says it is a terminal and remembers what it was sent."""

    @property
    def encoding(self) -> str:  # type: ignore[override] # it cannot be written there, either
        return "utf-8"

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        """All that was ever shown, without colours and movements of the cursor."""
        return _CONTROL.sub("", self.getvalue())


class Pipe(io.StringIO):
    """Something that is no terminal, and breaks after so many lines."""

    def __init__(self, encoding: str = "utf-8", *, breaks_after: int | None = None) -> None:
        super().__init__()
        self._encoding = encoding
        self._lines_left = breaks_after
        self._written = threading.Condition()

    @property
    def encoding(self) -> str:  # type: ignore[override] # it cannot be written there, either
        return self._encoding

    def write(self, text: str, /) -> int:
        if self._lines_left is not None:
            if self._lines_left == 0:
                raise BrokenPipeError
            self._lines_left -= 1
        with self._written:
            self._written.notify_all()
            return super().write(text)

    async def wait_lines(self, count: int) -> None:
        """Wait until *count* lines are there, which another thread writes."""
        await anyio.to_thread.run_sync(self.block_until_lines, count)

    def block_until_lines(self, count: int) -> None:
        """Do as `wait_lines` in a thread without an event loop."""
        with self._written:
            self._written.wait_for(lambda: self.getvalue().count("\n") >= count)
