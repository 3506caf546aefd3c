"""Connected sockets, for replies that come in many tiny pieces.

They are anyio's byte streams, and can hand on what arrives besides: whoever reads a reply
names a function once and sleeps until the end, instead of waking up for every token.
Each event loop has a class of its own, in a module that is imported where that loop runs.
"""

import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from anyio.abc import ByteStream

# Takes the bytes that have arrived and tells whether more are wanted; neither waits nor raises.
Take = Callable[[bytes], bool]

# As much as the kernel has, within reason: the pieces of a reply are small.
READ_BYTES: Final = 65536

# The family of Unix sockets, which Python on Windows does not know.
UNIX: Final = getattr(socket, "AF_UNIX", None)


class Socket(ByteStream):
    """A connected socket; one task reads it and one writes."""

    @abstractmethod
    async def pump(self, take: Take) -> None:
        """Hand on what arrives, as it arrives, until *take* returns false.

        A cancellation loses nothing: what *take* was not given is there for the next read.

        Args:
            take: is given what arrives. On asyncio no task is around it.

        Raises:
            anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError: as
                ``receive`` does.
        """

    @abstractmethod
    def has_news(self) -> bool:
        """Whether anything has arrived that was not received, the end included."""


def is_readable(descriptor: int) -> bool:
    """Whether the system has something for a descriptor."""
    import select

    if not hasattr(select, "poll"):  # pragma: no cover - Windows only
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()  # unlike select(), for any number of open files
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
