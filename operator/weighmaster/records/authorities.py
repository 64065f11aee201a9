"""Every authority that any policy or publisher names, with its key material resolved.

Signatures are looked for of all that signature rules and publishers name, attestations of those
that attestation rules name.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1 import ModelPolicy, ModelPublisher
from weighmaster.api.v1alpha1.authority import ExtendedKeyUsage, Identity, ObjectKeyRef, PemSource
from weighmaster.api.v1alpha1.publisher import ModelPublisherSpec
from weighmaster.api.v1alpha1.rules import Rule
from weighmaster.core.assess import MAX_AUTHORITIES
from weighmaster.core.attestations import MAX_DEMANDS
from weighmaster.core.evaluate.policies import read_spec
from weighmaster.core.evaluate.records import authority_id
from weighmaster.core.verify.authorities import (
    Authority,
    KnownAuthority,
    certificate_authority,
    key_authority,
    keyless_authority,
)
from weighmaster.core.verify.trust_root import TrustRoot
from weighmaster.errors import AuthorityError, ClusterError
from weighmaster.records.material import Kind, Material
from weighmaster.verifying.trust_roots import public_good_trust_root

Stored = Mapping[str, Any]


class Named(Struct, frozen=True):
    """An identity that a policy or a publisher names."""

    id: str
    identity: Identity


class Demanded(Struct, frozen=True):
    """An attestation that a policy asks for: of what type, and by whom."""

    predicate_type: str
    by: Named


def named_identities(policies: Iterable[Stored], publishers: Iterable[Stored]) -> list[Named]:
    """Identities that signatures are asked for of, each once. What cannot be read names nobody.

    A record holds the first MAX_AUTHORITIES: those of cluster policies come first and those of
    namespaced policies last, so that nobody who may write a ModelPolicy can crowd out what a
    cluster policy asks for.
    """
    found: dict[str, Identity] = {}
    rest: dict[str, Identity] = {}
    for stored in policies:
        into = rest if stored.get("kind") == ModelPolicy.names.kind else found
        into.update((authority_id(identity), identity) for identity in _of_policy(stored))
    for stored in publishers:
        found.update((authority_id(identity), identity) for identity in _of_publisher(stored))
    ordered = [Named(key, found[key]) for key in sorted(found)]
    ordered += [Named(key, rest[key]) for key in sorted(rest.keys() - found.keys())]
    return ordered


def demanded_attestations(policies: Iterable[Stored], owners: Iterable[Stored]) -> list[Demanded]:
    """Attestations that are asked for of a model of these publishers, each once.

    A record holds the first MAX_DEMANDS; those of cluster policies come first, as with identities.
    """
    publisher = [identity for stored in owners for identity in _of_publisher(stored)]
    found: dict[tuple[str, str], Identity] = {}
    rest: dict[tuple[str, str], Identity] = {}
    for stored in policies:
        into = rest if stored.get("kind") == ModelPolicy.names.kind else found
        for rule in filter(None, (rule.attestation for rule in _rules(stored))):
            for authority in rule.authorities:
                for identity in publisher if authority.publisher is not None else (authority,):
                    into[rule.predicate_type, authority_id(identity)] = identity
    ordered = [*sorted(found), *sorted(rest.keys() - found.keys())]
    identities = rest | found
    return [Demanded(kind, Named(key, identities[kind, key])) for kind, key in ordered]


def omitted(policies: Iterable[Stored], owners: Iterable[Stored]) -> frozenset[str]:
    """What policies ask for beyond what a record holds, as ids for `asked_for`."""
    policies, owners = list(policies), list(owners)
    signatures = named_identities(policies, owners)[MAX_AUTHORITIES:]
    attestations = demanded_attestations(policies, owners)[MAX_DEMANDS:]
    return frozenset(
        [each.id for each in signatures]
        + [f"{each.by.id} {each.predicate_type}" for each in attestations]
    )


def asked_for(policy: Stored) -> frozenset[str]:
    """What one policy itself asks for, as ids."""
    attestations = demanded_attestations([policy], [])
    return frozenset(
        [each.id for each in named_identities([policy], [])]
        + [f"{each.by.id} {each.predicate_type}" for each in attestations]
    )


def _of_policy(stored: Stored) -> list[Identity]:
    return [
        authority
        for rule in _rules(stored)
        for authority in (rule.signature.authorities if rule.signature else ())
        if authority.publisher is None
    ]


def _rules(stored: Stored) -> list[Rule]:
    try:
        return read_spec(stored).rules
    except msgspec.ValidationError:
        return []


def _of_publisher(stored: Stored) -> list[Identity]:
    try:
        return list(msgspec.convert(stored.get("spec"), ModelPublisherSpec).identities)
    except msgspec.ValidationError:
        return []


def is_kept_elsewhere(identity: Identity) -> bool:
    """Whether its key material is in a Secret or ConfigMap, which can change while it does not."""
    if identity.key is not None:
        return identity.key.pem is None
    if identity.certificate is not None:
        return identity.certificate.roots.pem is None
    return identity.keyless is not None and identity.keyless.trust_root is not None


def kept_elsewhere(resource: str, stored: Stored) -> list[Named]:
    """Identities of one policy or publisher whose keys are elsewhere, each once."""
    if resource == ModelPublisher.names.plural:
        identities = _of_publisher(stored)
    else:
        identities = [
            authority
            for rule in _rules(stored)
            for part in (rule.signature, rule.content)
            for authority in (part.authorities if part else ())
            if authority.publisher is None
        ]
    found = {
        authority_id(identity): identity
        for identity in identities
        if identity.keyless is None and is_kept_elsewhere(identity)
    }
    return [Named(key, found[key]) for key in sorted(found)]


async def resolve(named: Named, material: Material) -> KnownAuthority:
    """An identity with its key material. What is wrong with it is said, never raised.

    Raises ClusterError only when the API server cannot be asked: that says nothing about the key.
    """
    reading = _Reading(material)
    try:
        authority = await _authority(named.identity, reading)
    except AuthorityError as error:
        return KnownAuthority(named.id, problem=str(error), material=reading.digest)
    except ClusterError as error:
        if error.status not in (403, 404):
            raise
        problem = f"its key material cannot be read: {error}"
        return KnownAuthority(named.id, problem=problem, material=f"{error.status}")
    return KnownAuthority(named.id, authority=authority, material=reading.digest)


class _Reading:
    """Material that is read, with a digest of all of it."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._hash = sha256()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:16]

    async def text(self, kind: Kind, reference: ObjectKeyRef) -> str:
        """An entry of an object. Raises AuthorityError when there is none, ClusterError."""
        kept = await self._material.read(kind, reference.name)
        # Records show this digest to all: of a Secret it is not one of what is in it.
        content = kept.version if kind is Kind.SECRET else kept.data
        self._hash.update(msgspec.json.encode(content, order="deterministic"))
        try:
            found = kept.entry(reference.key)
            if found is not None:
                return found.decode()
        except ValueError:
            raise AuthorityError(f"{kind} {reference.name} holds no text") from None
        raise AuthorityError(f"{reference.name} has no entry {reference.key}")


async def _authority(identity: Identity, material: _Reading) -> Authority:
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
            where = keyless.trust_root.config_map_ref
            root = TrustRoot((await material.text(Kind.CONFIG_MAP, where)).encode())
        return keyless_authority(
            root, keyless.issuer, subject=keyless.subject, pattern=keyless.subject_pattern
        )
    raise AuthorityError("it names neither a key, nor a certificate, nor a keyless identity")


async def _pem(source: PemSource, material: _Reading) -> str:
    if source.pem is not None:
        return source.pem
    if source.config_map_ref is not None:
        return await material.text(Kind.CONFIG_MAP, source.config_map_ref)
    if source.secret_ref is not None:
        return await material.text(Kind.SECRET, source.secret_ref)
    raise AuthorityError("it names no key material")
