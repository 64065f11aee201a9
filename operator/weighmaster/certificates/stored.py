"""How generations are stored: in one Secret, and as trust in the webhook configurations."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from weighmaster.certificates.generation import Authority, Generation, authorities
from weighmaster.certificates.plan import Trust

Json = dict[str, Any]

MANAGED = ("weighmaster.dev/serving-certificate", "managed")
"""Label of a Secret that is ours to write."""

ISSUED_AFTER = "weighmaster.dev/issued-after"
"""Annotation of the Secret: a time; what was issued before is replaced in the usual way."""

RETIRING = "weighmaster.dev/retiring-authorities"
"""Annotation of a webhook configuration: former CAs in its bundle, and since when they are that."""

INJECTED = ("cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret")
"""Annotations of a webhook configuration whose bundle is cert-manager's to write."""

CURRENT = ("ca.crt", "tls.crt", "tls.key")
STAGED = ("next-ca.crt", "next.crt", "next.key")
"""Entries of the Secret. Only the current certificate and its key are mounted into the webhook."""


class SecretContent(Struct, frozen=True):
    """A Secret, read. ``managed`` is whether it bears our label."""

    managed: bool = True
    current: Generation | None = None
    staged: Generation | None = None
    issued_after: datetime | None = None


def read_secret(stored: Mapping[str, Any] | None) -> SecretContent:
    """What a Secret holds; one that is not there is ours to make."""
    if stored is None:
        return SecretContent()
    metadata = stored.get("metadata") or {}
    data = stored.get("data") or {}
    return SecretContent(
        managed=(metadata.get("labels") or {}).get(MANAGED[0]) == MANAGED[1],
        current=_generation(data, CURRENT),
        staged=_generation(data, STAGED),
        issued_after=_time((metadata.get("annotations") or {}).get(ISSUED_AFTER)),
    )


def secret_with(
    stored: Mapping[str, Any] | None,
    name: str,
    current: Generation | None,
    staged: Generation | None,
) -> Json:
    """The Secret with these generations in it, and whatever else it has."""
    base: Mapping[str, Any] = stored or {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": name, "labels": dict([MANAGED])},
    }
    data = {
        key: value
        for key, value in (base.get("data") or {}).items()
        if key not in (*CURRENT, *STAGED)
    }
    for names, generation in ((CURRENT, current), (STAGED, staged)):
        if generation is not None:
            parts = (generation.authority, generation.certificate, generation.key)
            data |= {key: _encoded(part) for key, part in zip(names, parts, strict=True)}
    return {**base, "data": data}


def is_injected(configuration: Mapping[str, Any]) -> bool:
    """Whether cert-manager keeps the bundle of a webhook configuration."""
    return any(name in _annotations(configuration) for name in INJECTED)


def read_trust(configuration: Mapping[str, Any]) -> Trust:
    """The CAs that any webhook of a configuration trusts. A bundle that cannot be read has none."""
    found: dict[str, Authority] = {}
    for webhook in configuration.get("webhooks") or ():
        bundle = _decoded((webhook.get("clientConfig") or {}).get("caBundle"))
        found.update((each.fingerprint, each) for each in authorities(bundle) or ())
    return Trust(tuple(found.values()), _read_retiring(_annotations(configuration).get(RETIRING)))


def with_trust(configuration: Mapping[str, Any], trust: Trust) -> Json:
    """The configuration with a trust in all of its webhooks."""
    bundle = _encoded("".join(each.pem for each in trust.authorities))
    annotations = {
        key: value for key, value in _annotations(configuration).items() if key != RETIRING
    }
    if trust.retiring:
        retiring = {key: since.isoformat() for key, since in sorted(trust.retiring.items())}
        annotations[RETIRING] = json.dumps(retiring)
    metadata = {**(configuration.get("metadata") or {}), "annotations": annotations}
    if not annotations:
        del metadata["annotations"]
    webhooks: Sequence[Json] = configuration.get("webhooks") or ()
    return {
        **configuration,
        "metadata": metadata,
        "webhooks": [
            {**webhook, "clientConfig": {**(webhook.get("clientConfig") or {}), "caBundle": bundle}}
            for webhook in webhooks
        ],
    }


def _annotations(stored: Mapping[str, Any]) -> Mapping[str, str]:
    return (stored.get("metadata") or {}).get("annotations") or {}


def _generation(data: Mapping[str, str], names: Sequence[str]) -> Generation | None:
    authority, certificate, key = (_decoded(data.get(name)) for name in names)
    return Generation(authority, certificate, key) if certificate else None


def _read_retiring(text: str | None) -> dict[str, datetime]:
    try:
        read = json.loads(text or "{}")
        items = list(read.items())
    except (ValueError, AttributeError, RecursionError):
        return {}
    times = {str(key): _time(value) for key, value in items}
    return {key: since for key, since in times.items() if since is not None}


def _time(text: object) -> datetime | None:
    """A time as RFC 3339 writes it; None for anything else."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if time is None:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: object) -> str:
    try:
        return base64.b64decode(text, validate=True).decode() if isinstance(text, str) else ""
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
