"""Every authority that any policy or publisher names, with its key material resolved."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1.authority import ExtendedKeyUsage, Identity, ObjectKeyRef, PemSource
from weighmaster.api.v1alpha1.publisher import ModelPublisherSpec
from weighmaster.core.assess import KnownAuthority
from weighmaster.core.evaluate.policies import read_spec
from weighmaster.core.evaluate.records import authority_id
from weighmaster.core.verify.authorities import (
    Authority,
    certificate_authority,
    key_authority,
    keyless_authority,
)
from weighmaster.core.verify.trust_root import TrustRoot
from weighmaster.errors import AuthorityError, ClusterError
from weighmaster.verifying.trust_roots import public_good_trust_root

Stored = Mapping[str, Any]


class Material(Protocol):
    """Where key material that is kept in objects comes from."""

    async def secret(self, name: str) -> Mapping[str, str]:
        """The data of a Secret in Weighmaster's namespace, base64."""
        ...

    async def config_map(self, name: str) -> Mapping[str, str]:
        """The data of a ConfigMap in Weighmaster's namespace."""
        ...


class Named(Struct, frozen=True):
    """An identity that a policy or a publisher names."""

    id: str
    identity: Identity


def named_identities(policies: Iterable[Stored], publishers: Iterable[Stored]) -> list[Named]:
    """Every identity, each once, in the order of its id. What cannot be read names nobody."""
    found: dict[str, Identity] = {}
    for stored in policies:
        try:
            rules = read_spec(stored).rules
        except msgspec.ValidationError:
            continue
        for rule in rules:
            for authority in rule.signature.authorities if rule.signature else ():
                if authority.publisher is None:
                    found[authority_id(authority)] = authority
    for stored in publishers:
        try:
            publisher = msgspec.convert(stored.get("spec"), ModelPublisherSpec)
        except msgspec.ValidationError:
            continue
        for identity in publisher.identities:
            found[authority_id(identity)] = identity
    return [Named(key, found[key]) for key in sorted(found)]


async def resolve(named: Named, material: Material) -> KnownAuthority:
    """An identity with its key material. What is wrong with it is said, never raised."""
    try:
        return KnownAuthority(named.id, authority=await _authority(named.identity, material))
    except AuthorityError as error:
        return KnownAuthority(named.id, problem=str(error))
    except ClusterError as error:
        return KnownAuthority(named.id, problem=f"its key material cannot be read: {error}")


async def _authority(identity: Identity, material: Material) -> Authority:
    if identity.key is not None:
        return key_authority(await _pem(identity.key, material))
    if identity.certificate is not None:
        certificate = identity.certificate
        return certificate_authority(
            await _pem(certificate.roots, material),
            certificate.subject,
            code_signing=certificate.extended_key_usage is ExtendedKeyUsage.CODE_SIGNING,
        )
    if identity.keyless is not None:
        keyless = identity.keyless
        root = public_good_trust_root()
        if keyless.trust_root is not None:
            reference = keyless.trust_root.config_map_ref
            data = await material.config_map(reference.name)
            root = TrustRoot(_entry(data, reference).encode())
        return keyless_authority(
            root, keyless.issuer, subject=keyless.subject, pattern=keyless.subject_pattern
        )
    raise AuthorityError("it names neither a key, nor a certificate, nor a keyless identity")


async def _pem(source: PemSource, material: Material) -> str:
    if source.pem is not None:
        return source.pem
    if source.config_map_ref is not None:
        data = await material.config_map(source.config_map_ref.name)
        return _entry(data, source.config_map_ref)
    if source.secret_ref is not None:
        encoded = _entry(await material.secret(source.secret_ref.name), source.secret_ref)
        try:
            return base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise AuthorityError(f"Secret {source.secret_ref.name} holds no text") from None
    raise AuthorityError("it names no key material")


def _entry(data: Mapping[str, str], reference: ObjectKeyRef) -> str:
    if reference.key not in data:
        raise AuthorityError(f"{reference.name} has no entry {reference.key}")
    return data[reference.key]
