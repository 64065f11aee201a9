"""Waiting for what a control plane does in its own time."""

import time
from collections.abc import Callable

_INTERVAL = 0.1


def eventually(is_so: Callable[[], bool], within: float = 20.0) -> bool:
    """Whether it becomes so within some seconds."""
    deadline = time.monotonic() + within
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(_INTERVAL)
    return True
