"""Everything that can go wrong with a control plane of the tests.

::

    ControlPlaneError
    ├── ControlPlaneUnavailableError  no binaries here, and none can be built
    ├── ComponentError                a component did not start, or ended by itself
    └── KubectlError                  kubectl, asked to succeed, did not
"""

import subprocess


class ControlPlaneError(Exception):
    """The root of this tree."""


class ControlPlaneUnavailableError(ControlPlaneError):
    """There is no control plane on this machine and none can be built; the message says why."""


class ComponentError(ControlPlaneError):
    """A component did not come up, or went away; the message ends with the last of its log."""


class KubectlError(ControlPlaneError):
    """kubectl failed; `completed` is what it printed and its exit code."""

    def __init__(self, completed: subprocess.CompletedProcess[str]) -> None:
        command = " ".join(str(word) for word in completed.args)
        printed = "\n".join(
            part for part in (completed.stderr.strip(), completed.stdout.strip()) if part
        )
        super().__init__(f"exit code {completed.returncode} of: {command}\n{printed}")
        self.completed = completed
