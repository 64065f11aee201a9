"""Properties: whatever is changed, nothing unsigned is accepted and only our error is raised."""

import base64
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.signing.bundles import (
    MODEL,
    Json,
    b64,
    certificate_bundle,
    key_bundle,
    model_statement,
    payload_of,
    public_pem,
    raw,
)
from tests.signing.chains import NOW, Chain
from tests.signing.models import files_of, verify
from tests.signing.sigstore_instance import SigstoreInstance
from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.core.verify.authorities import (
    Authority,
    certificate_authority,
    key_authority,
    keyless_authority,
)
from weighmaster.core.verify.bundle import parse_bundle
from weighmaster.core.verify.classes import FileClass, classify, may_be_unsigned
from weighmaster.core.verify.compare import File, Scope, compare
from weighmaster.core.verify.manifest import Manifest, manifest_digest
from weighmaster.core.verify.statement import Terms, parse_statement
from weighmaster.core.verify.trust_root import TrustRoot
from weighmaster.errors import VerificationError

KEY = ec.generate_private_key(ec.SECP256R1())
CHAIN = Chain()
LEAF = CHAIN.leaf()
INSTANCE = SigstoreInstance()
ISSUER, SUBJECT = "https://accounts.example.com", "a@acme.example"
PAYLOAD = payload_of(model_statement())

CASES: dict[str, tuple[Json, Authority]] = {
    "key": (key_bundle(PAYLOAD, KEY), key_authority(public_pem(KEY))),
    "certificate": (
        certificate_bundle(PAYLOAD, LEAF.key, [LEAF.certificate, CHAIN.intermediate.certificate]),
        certificate_authority(CHAIN.root.pem, CHAIN.identity),
    ),
    "keyless": (
        INSTANCE.sign(PAYLOAD, x509.RFC822Name(SUBJECT), ISSUER, datetime(2026, 3, 1, tzinfo=UTC)),
        keyless_authority(TrustRoot(INSTANCE.trusted_root()), ISSUER, subject=SUBJECT),
    ),
}
METHODS = st.sampled_from(sorted(CASES))

quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def signed_part(document: bytes) -> tuple[bytes, bytes] | None:
    """Payload and signature of a bundle, or None when it has none."""
    try:
        bundle = parse_bundle(document)
    except VerificationError:
        return None
    return bundle.payload, bundle.signature


def outcome(document: bytes, authority: Authority, files: dict[str, File] | None = None) -> bool:
    """Whether it is verified; any error but ours fails the test."""
    try:
        verify(document, authority, files)
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("method", CASES)
def test_the_bundles_that_are_mutated_are_sound(method: str) -> None:
    bundle, authority = CASES[method]
    assert outcome(raw(bundle), authority)


@quick
@given(METHODS, st.data())
def test_a_bundle_with_changed_bytes_verifies_only_if_what_was_signed_is_the_same(
    method: str, data: st.DataObject
) -> None:
    bundle, authority = CASES[method]
    original = raw(bundle)
    document = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(document) - 1))
        action = data.draw(st.sampled_from(["set", "insert", "delete", "truncate"]))
        if action == "set":
            document[place] = data.draw(st.integers(0, 255))
        elif action == "insert":
            document[place:place] = data.draw(st.binary(min_size=1, max_size=4))
        elif action == "delete":
            del document[place : place + data.draw(st.integers(1, 50))]
        else:
            del document[place:]
        if not document:
            break
    if outcome(bytes(document), authority):
        assert signed_part(bytes(document)) == signed_part(original)


@quick
@given(METHODS, st.integers(0, len(PAYLOAD) - 1), st.integers(1, 255))
def test_no_changed_byte_of_the_payload_is_accepted(method: str, place: int, flip: int) -> None:
    bundle, authority = CASES[method]
    payload = bytearray(PAYLOAD)
    payload[place] ^= flip
    changed = {
        **bundle,
        "dsseEnvelope": {**bundle["dsseEnvelope"], "payload": b64(bytes(payload))},
    }
    assert not outcome(raw(changed), authority)


@quick
@given(METHODS, st.data())
def test_no_changed_byte_of_the_signature_is_accepted(method: str, data: st.DataObject) -> None:
    bundle, authority = CASES[method]
    signature = bytearray(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]))
    place = data.draw(st.integers(0, len(signature) - 1))
    signature[place] ^= data.draw(st.integers(1, 255))
    envelope = {**bundle["dsseEnvelope"], "signatures": [{"sig": b64(bytes(signature))}]}
    assert not outcome(raw({**bundle, "dsseEnvelope": envelope}), authority)


@quick
@given(st.sampled_from(["certificate", "keyless"]), st.data())
def test_no_changed_byte_of_a_certificate_is_accepted(method: str, data: st.DataObject) -> None:
    bundle, authority = CASES[method]
    document = json.loads(raw(bundle))
    material = document["verificationMaterial"]
    holders = (
        material["x509CertificateChain"]["certificates"]
        if method == "certificate"
        else [material["certificate"]]
    )
    holder = data.draw(st.sampled_from(holders))
    der = bytearray(base64.b64decode(holder["rawBytes"]))
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    holder["rawBytes"] = b64(bytes(der))
    assert not outcome(raw(document), authority)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key in value:
            found += _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _places(inner, (*path, index))
    return found


@quick
@given(METHODS, JSON_VALUES, st.data())
def test_a_bundle_with_any_member_replaced_removed_or_doubled_never_verifies_something_else(
    method: str, value: object, data: st.DataObject
) -> None:
    bundle, authority = CASES[method]
    document = json.loads(raw(bundle))
    path = data.draw(st.sampled_from(_places(document)))
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    action = data.draw(st.sampled_from(["replace", "remove", "double", "add"]))
    if action == "replace":
        holder[path[-1]] = value
    elif action == "remove":
        del holder[path[-1]]
    elif isinstance(holder, list):
        holder.append(holder[path[-1]] if action == "double" else value)
    else:
        holder[data.draw(st.text(max_size=8))] = value
    if outcome(raw(document), authority):
        assert signed_part(raw(document)) == signed_part(raw(bundle))


@quick
@given(JSON_VALUES, st.data())
def test_any_validly_signed_statement_is_a_manifest_or_our_error(
    value: object, data: st.DataObject
) -> None:
    statement = json.loads(PAYLOAD)
    path = data.draw(st.sampled_from(_places(statement)))
    holder = statement
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    payload = json.dumps(statement).encode()
    for terms in (Terms(), Terms(legacy=True, single_file="x", algorithms=frozenset({"blake3"}))):
        try:
            manifest = parse_statement(payload, terms)
        except VerificationError:
            continue
        assert manifest.digests
        assert manifest.digest.startswith("sha256:")


@quick
@given(st.binary(max_size=300) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_anything_at_all_is_a_bundle_and_a_statement_or_our_error(document: bytes) -> None:
    readers: tuple[Callable[[], object], ...] = (
        lambda: parse_bundle(document),
        lambda: parse_statement(document, Terms()),
    )
    for read in readers:
        with contextlib.suppress(VerificationError):
            read()


NAMES = st.sampled_from(
    [*MODEL, "evil.py", "x.bin", ".git/HEAD", ".git/x.py", "a.md", "model.sig", "x", "Config.json"]
)
CONTENTS = st.sampled_from([*MODEL.values(), b"", b"evil"])


@quick
@given(st.dictionaries(NAMES, CONTENTS), st.booleans(), st.sampled_from(Coverage))
def test_a_tree_is_accepted_only_if_all_that_is_loaded_was_signed_as_it_is(
    changes: dict[str, bytes], keep: bool, coverage: Coverage
) -> None:
    tree = {**MODEL, **changes} if keep else changes
    manifest = Manifest({name: str(file.digest) for name, file in files_of().items()})
    try:
        compare(manifest, files_of(tree), Scope(coverage=coverage))
    except VerificationError:
        return
    assert {name: tree.get(name) for name in MODEL} == MODEL
    for name in tree.keys() - MODEL.keys():
        documentation = classify(name) is FileClass.DOCUMENTATION
        assert may_be_unsigned(name) or (documentation and coverage is Coverage.WEIGHTS)


@quick
@given(
    st.dictionaries(st.text(max_size=4), st.sampled_from(["0" * 64, "1" * 64]), max_size=4),
    st.dictionaries(st.text(max_size=4), st.sampled_from(["0" * 64, "1" * 64]), max_size=4),
)
def test_two_manifests_have_the_same_digest_only_if_they_are_the_same(
    one: dict[str, str], two: dict[str, str]
) -> None:
    usable = [
        {name.replace("\0", ""): digest for name, digest in each.items() if _encodes(name)}
        for each in (one, two)
    ]
    first, second = (manifest_digest("sha256", each.items()) for each in usable)
    assert (first == second) == (usable[0] == usable[1])


def _encodes(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_time_alone_decides_about_a_certificate() -> None:
    """No clock is read: the same arguments give the same answer at any time."""
    bundle, authority = CASES["certificate"]
    assert verify(bundle, authority, now=NOW) == verify(bundle, authority, now=NOW)
