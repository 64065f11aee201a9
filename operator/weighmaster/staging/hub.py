"""How pods reach the hub: from what they are told to settings of the HTTP client."""

import ssl

from weighmaster.core.staged import Hub
from weighmaster.errors import SettingsError
from weighmaster.gather.settings import GatherSettings, Timeouts

SCHEMES = frozenset({"hf"})
"""Hubs that models are staged from."""

MAX_CA_BYTES = 32 * 1024
MAX_HOSTS = 64

PATIENCE = 900.0
"""Seconds to wait for a hub that asks to come back later; a pod that waits for weights can."""


def hub_settings(hub: Hub) -> GatherSettings:
    """Settings of the HTTP client in a pod. Raises SettingsError, which names the setting."""
    if other := hub.endpoints.keys() - SCHEMES:
        raise SettingsError(f"endpoint: nothing is staged from {min(other)!r}, only from hf")
    for name in ("internal_hosts", "plain_http_hosts", "no_proxy"):
        hosts = getattr(hub, name)
        if len(hosts) > MAX_HOSTS or not all(hosts):
            raise SettingsError(f"{name.replace('_', '-')}: must be at most {MAX_HOSTS} hosts")
    _check_authorities(hub.ca)
    return GatherSettings(
        endpoints=hub.endpoints,
        internal_hosts=frozenset(hub.internal_hosts),
        plain_http_hosts=frozenset(hub.plain_http_hosts),
        proxy=hub.proxy or None,
        no_proxy=frozenset(hub.no_proxy),
        ca=hub.ca,
        attempts=8,
        patience=PATIENCE,
        timeouts=Timeouts(read=60.0, request=120.0),
    )


def _check_authorities(ca: str) -> None:
    if len(ca.encode()) > MAX_CA_BYTES:
        raise SettingsError(
            f"ca-file: must be at most {MAX_CA_BYTES // 1024} KiB, since every pod is handed it;"
            " leave out what the hub and the proxy do not need"
        )
    if not ca:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise SettingsError("ca-file: must hold certificates in PEM") from None
