"""Bundles: what is read, and what is refused because it could be read in two ways."""

import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import Json, b64, envelope, key_bundle, model_statement, raw
from tests.signing.models import accepted, refusal, verify
from weighmaster.core.verify.authorities import KeyAuthority
from weighmaster.core.verify.bundle import MAX_BUNDLE_BYTES, SignatureMethod, parse_bundle
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.errors import VerificationError

Key = ec.EllipticCurvePrivateKey


@pytest.fixture
def good(key: Key) -> Json:
    return key_bundle(model_statement(), key)


def test_a_bundle_as_the_reference_writes_it_is_verified(
    good: Json, authority: KeyAuthority
) -> None:
    verified = verify(good, authority)
    assert [signer.identity for signer in verified.signers] == [authority.fingerprint]
    assert verified.comparison.signed == 4
    assert verified.manifest_digest.startswith("sha256:")


@pytest.mark.parametrize("keyid", ["", "any", None, "absent"])
def test_the_keyid_may_be_anything_or_absent(
    good: Json, authority: KeyAuthority, keyid: str | None
) -> None:
    signature = good["dsseEnvelope"]["signatures"][0]
    signature["keyid"] = keyid
    if keyid == "absent":
        del signature["keyid"]
    assert accepted(good, authority)


@pytest.mark.parametrize("entries", [[], None, "absent"])
def test_log_entries_may_be_absent_from_a_key_signed_bundle(
    good: Json, authority: KeyAuthority, entries: object
) -> None:
    material = good["verificationMaterial"]
    material["tlogEntries"] = entries
    if entries == "absent":
        del material["tlogEntries"]
    assert accepted(good, authority)


def test_both_spellings_of_version_03_are_read(good: Json, authority: KeyAuthority) -> None:
    good["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.3"
    assert accepted(good, authority)


def test_a_second_signature_is_refused_rather_than_left_unread(
    good: Json, authority: KeyAuthority
) -> None:
    other = envelope(model_statement(), ec.generate_private_key(ec.SECP256R1()))
    good["dsseEnvelope"]["signatures"].append(other["signatures"][0])
    assert refusal(good, authority) is R.UNSUPPORTED


def test_an_envelope_without_a_signature_is_not_signed(good: Json, authority: KeyAuthority) -> None:
    good["dsseEnvelope"]["signatures"] = []
    assert refusal(good, authority) is R.NOT_SIGNED


def _set(*path: str, value: object) -> Callable[[Json], None]:
    def change(bundle: Json) -> None:
        inner = bundle
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("mediaType", value="application/json"), R.UNSUPPORTED),
        (
            _set("mediaType", value="application/vnd.dev.sigstore.bundle+json;version=0.2"),
            R.UNSUPPORTED,
        ),
        (_set("mediaType", value=None), R.MALFORMED),
        (_set("messageSignature", value={"signature": "AA=="}), R.UNSUPPORTED),
        (_set("dsse_envelope", value={}), R.UNSUPPORTED),
        (_set("dsseEnvelope", value=None), R.MALFORMED),
        (_set("dsseEnvelope", "payloadType", value="application/json"), R.UNSUPPORTED),
        (_set("dsseEnvelope", "payload", value="not base64"), R.MALFORMED),
        (_set("dsseEnvelope", "payload", value=""), R.MALFORMED),
        (_set("dsseEnvelope", "signatures", value={}), R.MALFORMED),
        (_set("dsseEnvelope", "signatures", value=["x"]), R.MALFORMED),
        (_set("dsseEnvelope", "signatures", value=[{"sig": 1}]), R.MALFORMED),
        (_set("dsseEnvelope", "signatures", value=[{"sig": "AA==", "keyid": 1}]), R.MALFORMED),
        (_set("dsseEnvelope", "signatures", value=[{"sig": "A" * 2000}]), R.TOO_LARGE),
        (_set("verificationMaterial", value=None), R.MALFORMED),
        (_set("verificationMaterial", value={}), R.MALFORMED),
        (_set("verificationMaterial", "certificate", value={"rawBytes": "AA=="}), R.MALFORMED),
        (_set("verificationMaterial", "unknown", value=1), R.UNSUPPORTED),
        (_set("verificationMaterial", "publicKey", value={"hint": 1}), R.MALFORMED),
    ],
)
def test_what_is_not_a_bundle_of_version_03_with_one_envelope_is_refused(
    good: Json, authority: KeyAuthority, change: Callable[[Json], None], reason: R
) -> None:
    change(good)
    assert refusal(good, authority) is reason


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b'{"mediaType": NaN}',
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b"[" * 100_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"a":' + b"[" * 4000 + b"]" * 4000 + b"}",
        b'{"a": 1}{"a": 1}',
        b'{"a": ' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_not_one_json_object_with_unique_keys_is_refused(document: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_bundle(document)
    assert caught.value.reason in {R.MALFORMED, R.TOO_LARGE}


def test_a_bundle_over_the_size_cap_is_refused_unread() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_bundle(b'{"a": 1}' + b" " * MAX_BUNDLE_BYTES)
    assert caught.value.reason is R.TOO_LARGE


def test_a_bundle_of_countless_parts_is_refused_before_it_fills_memory() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_bundle(b'{"a": [' + b"[]," * 100_000 + b"[]]}")
    assert caught.value.reason is R.TOO_LARGE


def test_base64_is_read_in_its_canonical_form_only(good: Json, authority: KeyAuthority) -> None:
    signature = good["dsseEnvelope"]["signatures"][0]
    text = signature["sig"]
    for changed in (text.rstrip("=") + "\n", text + "=", f" {text}", text.replace("=", "-")):
        signature["sig"] = changed
        if changed != text:
            assert refusal(good, authority) is R.MALFORMED


def test_base64_with_stray_trailing_bits_is_refused(good: Json, authority: KeyAuthority) -> None:
    payload = good["dsseEnvelope"]["payload"]
    value = json.dumps(model_statement()).encode()
    value += b" " * (1 - len(value) % 3)
    while len(value) % 3 != 1:
        value += b" "
    text = b64(value)
    assert text.endswith("==")
    good["dsseEnvelope"]["payload"] = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    assert good["dsseEnvelope"]["payload"] != payload
    assert refusal(good, authority) is R.MALFORMED


def test_messages_show_hostile_text_without_control_characters(
    key: Key, authority: KeyAuthority
) -> None:
    statement = model_statement()
    statement["predicateType"] = "\x1b[2J\u202eevil\n" + "x" * 5000
    with pytest.raises(VerificationError) as caught:
        verify(key_bundle(statement, key), authority)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


def test_the_method_follows_from_the_verification_material(good: Json) -> None:
    assert parse_bundle(raw(good)).method is SignatureMethod.KEY
