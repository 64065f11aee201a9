"""Connections of the webhook: no more than it can hold, and none that only keeps a place.

Whoever reaches the port can open connections. An idle one is cheap to open again for the API
server, which does so by itself, so the one that has been idle for longest gives way.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

MAX_CONNECTIONS = 2000
"""Three API servers have at most about 600 requests each under way."""

FIRST_REQUEST = 10.0
"""Seconds in which a new connection must send a whole request."""


class Closable(Hashable, Protocol):
    """A connection."""

    def force_close(self) -> None:
        """Close it now."""


Connection = TypeVar("Connection", bound=Closable)


class Connections:
    """Which connections there are, and for how long each has been idle."""

    def __init__(
        self, most: int = MAX_CONNECTIONS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._clock = clock
        self._new: OrderedDict[Closable, float] = OrderedDict()
        self._idle: OrderedDict[Closable, None] = OrderedDict()
        self._busy: dict[Closable, None] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._idle) + len(self._busy)

    def opened(self, connection: Closable) -> None:
        """Take a new connection; the one idle for longest gives way, or else this one."""
        self._new[connection] = self._clock()
        if len(self) <= self._most:
            return
        # Many new ones are none of the API server's, which has something to say when it connects.
        queue = self._new if len(self._new) > self._most // 4 else self._idle or self._new
        oldest = next(iter(queue))
        self.closed(oldest)
        oldest.force_close()

    def closed(self, connection: Closable) -> None:
        """Forget a connection."""
        self._new.pop(connection, None)
        self._idle.pop(connection, None)
        self._busy.pop(connection, None)

    def busy(self, connection: Closable) -> None:
        """A request has arrived on it, which may be lost by now."""
        if connection in self._new or connection in self._idle:
            self.closed(connection)
            self._busy[connection] = None

    def idle(self, connection: Closable) -> None:
        """Its request is answered."""
        if self._busy.pop(connection, self) is None:
            self._idle[connection] = None

    def close_silent(self) -> None:
        """Close those that have not sent a request since they were opened."""
        limit = self._clock() - FIRST_REQUEST
        for connection, opened in list(self._new.items()):
            if opened > limit:
                break
            self.closed(connection)
            connection.force_close()
