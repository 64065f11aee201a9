"""Processes that run beside the tests: started, watched and ended by their id."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.controlplane.errors import ComponentError

_TERMINATION_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""

_TAIL = 20
"""Lines of a log that an error quotes."""


class Guard:
    """While open, a process that kills its charges when this one dies without stopping them."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", Path(__file__).with_name("guard.py")],
            stdin=subprocess.PIPE,
            text=True,
            # Ctrl-C in a terminal must not reach it: it would end before its charges.
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.communicate()

    def watch(self, process_id: int) -> None:
        self._tell(f"+{process_id}")

    def forget(self, process_id: int) -> None:
        self._tell(f"-{process_id}")

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the guard is not open")
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


class Component:
    """One program of the control plane; its output is appended to a log file."""

    def __init__(self, command: Sequence[str | Path], directory: Path, guard: Guard) -> None:
        self.name = Path(command[0]).name
        self.log = directory / f"{self.name}.log"
        self._command = command
        self._directory = directory
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int | None:
        """None while it is stopped."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        if self._process is not None:
            raise ComponentError(f"{self.name} is running already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                # Nothing of the caller's: a proxy setting or a GODEBUG would change what is tested.
                env={"HOME": str(self._directory), "PATH": ""},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches only the tests, which then stop the components in order.
                start_new_session=True,
            )
        self._guard.watch(self._process.pid)

    def stop(self) -> None:
        """Ask it to end, then insist. Without effect when it is stopped."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_TERMINATION_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._guard.forget(process.pid)

    def check(self) -> None:
        """Raise ComponentError if it has been started and has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise ComponentError(f"{self.name} ended with code {code}:\n{self.log_tail()}")

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self) -> str:
        return "\n".join(self.log_text().splitlines()[-_TAIL:])
