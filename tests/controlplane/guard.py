"""Kills what a killed test run would leave behind.

Runs as a script of its own. Each line on its standard input is `+PID`, a process to answer for, or
`-PID`, one that has ended. When the input ends the parent is gone, however it went, and what is
left is killed. Nothing softer is needed: nobody will read that data again.

(Linux can signal a child when its parent dies, but means the *thread* that forked: a control
plane started in a worker thread would die with it.)
"""

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    left: set[int] = set()
    for line in sys.stdin:
        process = int(line[1:])
        if line.startswith("+"):
            left.add(process)
        else:
            left.discard(process)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
