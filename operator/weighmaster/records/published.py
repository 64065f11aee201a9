"""What is published of Secrets and ConfigMaps: the public keys and roots that authorities name.

Whatever else is in them is not shown: what was read is written anew from the key itself.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from weighmaster.core.verify.authorities import CertificateAuthority, KeyAuthority, KnownAuthority
from weighmaster.errors import ClusterError
from weighmaster.records.authorities import kept_elsewhere, resolve
from weighmaster.records.material import Material

MAX_KEYS = 64
MAX_BYTES = 128 * 1024
"""Of all keys of one object: a status has to fit into it."""

Stored = Mapping[str, Any]


class Published(Struct, frozen=True):
    """Keys to publish, by the id of their authority, and why others are not there."""

    keys: Mapping[str, str] = {}
    problems: tuple[str, ...] = ()

    def listed(self) -> list[dict[str, str]]:
        """The keys, as a status has them."""
        return [{"id": key, "pem": self.keys[key]} for key in sorted(self.keys)]


NOTHING = Published()


class KeyReader:
    """Reads what policies and publishers name."""

    def __init__(self, material: Material) -> None:
        self._material = material

    async def of(self, resource: str, stored: Stored) -> Published | None:
        """What is to be published of one object; None while the API server cannot be asked."""
        keys: dict[str, str] = {}
        problems = []
        for named in kept_elsewhere(resource, stored):
            try:
                known = await resolve(named, self._material)
            except ClusterError:
                return None
            pem = _pem(known)
            if pem is None:
                problems.append(f"an authority cannot be used: {known.problem}")
            elif len(keys) >= MAX_KEYS or sum(map(len, keys.values())) + len(pem) > MAX_BYTES:
                problems.append(
                    f"more than {MAX_KEYS} keys, or {MAX_BYTES} bytes of them, are kept elsewhere:"
                    " the rest cannot verify weights in pods"
                )
                break
            else:
                keys[named.id] = pem
        return Published(keys, tuple(dict.fromkeys(problems)))


def _pem(known: KnownAuthority) -> str | None:
    authority = known.authority
    encoding = serialization.Encoding.PEM
    if isinstance(authority, KeyAuthority):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return authority.key.public_bytes(encoding, form).decode()
    if isinstance(authority, CertificateAuthority):
        return "".join(root.public_bytes(encoding).decode() for root in authority.roots)
    return None
