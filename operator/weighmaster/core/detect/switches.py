"""Switches as manifests write them."""

import re

from weighmaster.core.detect.environment import has_variable
from weighmaster.core.values import Setting

_REMOTE_TEXT = re.compile(
    r"trust[-_]remote[-_]code[\"']?(?:\s{0,8}[:=]\s{0,8}[\"']?([A-Za-z0-9$({]+))?", re.IGNORECASE
)


def setting(value: str | None) -> Setting:
    """A switch by its value; a switch without one is on."""
    if value is None:
        return Setting.ON
    lowered = value.strip().lower()
    if lowered in ("false", "0", "no", "off", "n", "f", ""):
        return Setting.OFF
    return Setting.UNKNOWN if has_variable(value) or lowered.startswith("$") else Setting.ON


def stronger(one: Setting, other: Setting) -> Setting:
    """On wins over unknown, unknown over off."""
    if Setting.ON in (one, other):
        return Setting.ON
    return Setting.UNKNOWN if Setting.UNKNOWN in (one, other) else Setting.OFF


def remote_code_in(text: str) -> Setting:
    """Whether code or a configuration file switches remote code on."""
    found = Setting.OFF
    if "trust" not in text.lower():
        return found
    for match in _REMOTE_TEXT.finditer(text):
        if match[1] is not None:
            found = stronger(found, setting(match[1]))
    return found
