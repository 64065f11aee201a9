"""Published keys: what authorities keep in Secrets and ConfigMaps, as the controller has read it.

The webhook may read neither. The controller writes public keys and root certificates into the
status of the policy or publisher that names them, which nobody else may write. They go by how the
authority is written, so one that names something else now finds nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from weighmaster.api.v1alpha1.authority import Identity, PemSource, PublishedKey
from weighmaster.core.evaluate.records import authority_id

Keys = Mapping[str, str]
"""PEM by the id of an authority."""

_Identity = TypeVar("_Identity", bound=Identity)


def read_keys(stored: Mapping[str, Any]) -> Keys:
    """The keys in the status of a stored policy or publisher; none where it cannot be read."""
    status = stored.get("status")
    try:
        listed = msgspec.convert(
            status.get("keys") or [] if isinstance(status, dict) else [], list[PublishedKey]
        )
    except msgspec.ValidationError:
        return {}
    return {each.id: each.pem for each in listed}


def with_keys(identities: Iterable[_Identity], keys: Keys) -> list[_Identity]:
    """Identities with their key material written out, where it has been published."""
    return [_with_key(each, keys) for each in identities]


def _with_key(identity: _Identity, keys: Keys) -> _Identity:
    pem = keys.get(authority_id(identity)) if keys else None
    if pem is None:
        return identity
    if identity.key is not None and identity.key.pem is None:
        return structs.replace(identity, key=PemSource(pem=pem))
    certificate = identity.certificate
    if certificate is not None and certificate.roots.pem is None:
        return structs.replace(
            identity, certificate=structs.replace(certificate, roots=PemSource(pem=pem))
        )
    return identity
