"""Statements: every hole of the reference implementation that a signer could use is closed.

Each statement here is validly signed by the authority, so the signature is not what refuses it.
"""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import (
    HASHES,
    MODEL,
    Json,
    b64,
    bundle,
    key_bundle,
    model_statement,
    payload_of,
    resource,
    root_digest,
    statement,
)
from tests.signing.models import accepted, files_of, refusal, verify
from weighmaster.core.verify import dsse
from weighmaster.core.verify.authorities import KeyAuthority
from weighmaster.core.verify.bundle import IN_TOTO
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.core.verify.statement import MAX_FILES, Terms
from weighmaster.errors import VerificationError

Key = ec.EllipticCurvePrivateKey
LEGACY = "https://model_signing/Digests/v0.1"


def _resources(model: dict[str, bytes] = MODEL) -> list[Json]:
    return [resource(name, content) for name, content in sorted(model.items())]


def test_swapped_names_have_the_same_root_digest_and_are_refused(
    key: Key, authority: KeyAuthority
) -> None:
    """The root digest does not bind names: only the comparison by name does."""
    swapped = dict(MODEL)
    swapped["config.json"], swapped["tokenizer/vocab.txt"] = (
        MODEL["tokenizer/vocab.txt"],
        MODEL["config.json"],
    )
    signed = model_statement()
    names = [each["name"] for each in signed["predicate"]["resources"]]
    other = [resource(name, MODEL[name]) for name in names]
    for left, right in (("config.json", "tokenizer/vocab.txt"),):
        a, b = names.index(left), names.index(right)
        other[a]["name"], other[b]["name"] = right, left
    assert root_digest(other) == signed["subject"][0]["digest"]["sha256"]
    assert refusal(key_bundle(signed, key), authority, files_of(swapped)) is R.MISMATCH


def test_a_root_digest_that_is_not_of_the_files_is_refused(
    key: Key, authority: KeyAuthority
) -> None:
    signed = model_statement(root="0" * 64)
    assert refusal(key_bundle(signed, key), authority) is R.INCONSISTENT


def test_the_root_digest_is_taken_in_the_order_of_the_predicate(
    key: Key, authority: KeyAuthority
) -> None:
    """The specification sorts by name, the reference by path components; both must verify."""
    for resources in (_resources(), list(reversed(_resources()))):
        assert accepted(key_bundle(statement(resources), key), authority)


def test_a_statement_about_no_files_is_refused(key: Key, authority: KeyAuthority) -> None:
    signed = key_bundle(statement([], ignore_paths=["."]), key)
    assert refusal(signed, authority) is R.MALFORMED
    assert refusal(signed, authority, {}) is R.MALFORMED


def test_a_name_listed_twice_is_refused(key: Key, authority: KeyAuthority) -> None:
    twice = [resource("config.json", b"other"), *_resources()]
    assert refusal(key_bundle(statement(twice), key), authority) is R.UNSAFE_NAME


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../config.json",
        "a/../config.json",
        "./config.json",
        "a/./b",
        "a//b",
        "a/",
        "/etc/passwd",
        "a\\b",
        "..\\b",
        "a\0b",
        "a\nb",
        "a\x1bb",
        "a\x85b",
        "\ud800",
        "x" * 5000,
    ],
)
def test_a_name_that_could_mean_something_else_is_refused(
    key: Key, authority: KeyAuthority, name: str
) -> None:
    resources = [*_resources(), {**resource("x", b"x"), "name": name}]
    files = {**files_of(), name: files_of({"x": b"x"})["x"]}
    assert refusal(key_bundle(statement(resources), key), authority, files) is R.UNSAFE_NAME


@pytest.mark.parametrize("name", [None, 1, ["a"], {"a": 1}])
def test_a_name_that_is_no_text_is_refused(key: Key, authority: KeyAuthority, name: object) -> None:
    resources = [*_resources(), {**resource("x", b"x"), "name": name}]
    assert refusal(key_bundle(statement(resources), key), authority) is R.MALFORMED


@pytest.mark.parametrize("name", ["模型.bin", "file (copy).bin", "a:0:1", ".config", "ä/ö"])
def test_an_unusual_but_clear_name_is_accepted(
    key: Key, authority: KeyAuthority, name: str
) -> None:
    model = {**MODEL, name: b"content"}
    assert accepted(key_bundle(model_statement(model), key), authority, files_of(model))


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "shards", "shard_size": 1000},
        {"method": "shards"},
        {"shard_size": 1000},
        {"method": "other"},
        {"hash_type": "md5"},
        {"hash_type": "sha1"},
        {"hash_type": "blake3"},
        {"hash_type": "SHA256"},
        {"unknown": 1},
    ],
)
def test_shards_unknown_hashes_and_unknown_serializations_are_refused(
    key: Key, authority: KeyAuthority, fields: dict[str, Any]
) -> None:
    assert refusal(key_bundle(model_statement(**fields), key), authority) is R.UNSUPPORTED


def test_a_file_hashed_otherwise_than_the_model_is_refused(
    key: Key, authority: KeyAuthority
) -> None:
    resources = [*_resources(), {**resource("x", b"x"), "algorithm": "md5"}]
    assert refusal(key_bundle(statement(resources), key), authority) is R.UNSUPPORTED


def test_another_hash_is_accepted_where_the_caller_has_it(
    key: Key, authority: KeyAuthority
) -> None:
    resources = [resource(name, MODEL[name], "blake2b") for name in sorted(MODEL)]
    signed = key_bundle(statement(resources, hash_type="blake2b"), key)
    terms = Terms(algorithms=frozenset({"sha256", "blake2b"}))
    assert accepted(signed, authority, files_of(algorithm="blake2b"), terms=terms)
    assert refusal(signed, authority, files_of(), terms=terms) is R.UNKNOWN_DIGEST
    assert refusal(signed, authority, files_of(algorithm="blake2b")) is R.UNSUPPORTED


@pytest.mark.parametrize("digest", ["", "00", "0" * 63 + "G", "A" * 64, "0" * 66, " " + "0" * 63])
def test_a_digest_that_is_not_lower_case_hex_of_its_length_is_refused(
    key: Key, authority: KeyAuthority, digest: str
) -> None:
    resources = _resources()
    signed = statement(resources)
    signed["predicate"]["resources"] = [{**resources[0], "digest": digest}, *resources[1:]]
    assert refusal(key_bundle(signed, key), authority) is R.MALFORMED


def _without(*path: str) -> Json:
    signed = model_statement()
    inner = signed
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return signed


@pytest.mark.parametrize(
    "signed",
    [
        _without("_type"),
        _without("subject"),
        _without("predicateType"),
        _without("predicate"),
        _without("predicate", "resources"),
        _without("predicate", "serialization"),
        _without("predicate", "serialization", "method"),
        _without("predicate", "serialization", "hash_type"),
        _without("predicate", "serialization", "allow_symlinks"),
        {**model_statement(), "subject": []},
        {**model_statement(), "subject": model_statement()["subject"] * 2},
        {**model_statement(), "subject": ["model"]},
        model_statement(ignore_paths="*"),
        model_statement(ignore_paths=[1]),
        model_statement(allow_symlinks="false"),
        b"",
        b"null",
        b"not json",
        b'{"_type": 1, "_type": 2}',
        payload_of(model_statement()).replace(b"{", b'{"extra": NaN, ', 1),
        payload_of(model_statement()).replace(b"{", b'{"extra": 1, "extra": 1, ', 1),
    ],
)
def test_a_statement_without_a_part_that_it_needs_is_refused(
    key: Key, authority: KeyAuthority, signed: Json | bytes
) -> None:
    if signed == b"":
        signed = b" "
    assert refusal(key_bundle(signed, key), authority) is R.MALFORMED


@pytest.mark.parametrize(
    "change", [{"_type": "https://in-toto.io/Statement/v0.1"}, {"predicateType": "https://other"}]
)
def test_a_statement_about_something_else_is_refused(
    key: Key, authority: KeyAuthority, change: dict[str, str]
) -> None:
    assert refusal(key_bundle({**model_statement(), **change}, key), authority) is R.UNSUPPORTED


def test_ignore_paths_may_be_absent_and_unknown_members_are_ignored_where_the_spec_says_so(
    key: Key, authority: KeyAuthority
) -> None:
    signed = _without("predicate", "serialization", "ignore_paths")
    signed["predicate"]["resources"][0]["annotations"] = {"a": 1}
    signed["extra"] = 1
    assert accepted(key_bundle(signed, key), authority)


def test_too_many_files_are_refused(key: Key, authority: KeyAuthority) -> None:
    one = resource("x", b"")
    resources = [{**one, "name": str(index)} for index in range(MAX_FILES + 1)]
    payload = json.dumps(statement(resources), separators=(",", ":")).encode()
    with pytest.raises(VerificationError, match=f"lists {MAX_FILES + 1} files"):
        verify(key_bundle(payload, key), authority)


def test_the_dot_of_old_signers_names_a_single_file_and_nothing_in_a_folder(
    key: Key, authority: KeyAuthority
) -> None:
    signed = key_bundle(statement([{**resource("x", b"w"), "name": "."}]), key)
    file = files_of({"model.gguf": b"w"})
    assert accepted(signed, authority, file, terms=Terms(single_file="model.gguf"))
    assert refusal(signed, authority, file) is R.UNSAFE_NAME
    two = statement([{**resource("x", b"w"), "name": "."}, resource("y", b"y")])
    allowed = Terms(single_file="model.gguf")
    assert refusal(key_bundle(two, key), authority, file, terms=allowed) is R.UNSAFE_NAME


def _legacy() -> Json:
    subjects = [
        {"name": each["name"], "digest": {"sha256": each["digest"]}} for each in _resources()
    ]
    return {**model_statement(), "subject": subjects, "predicateType": LEGACY, "predicate": {}}


def test_the_legacy_format_is_refused_with_a_reason_of_its_own_unless_allowed(
    key: Key, authority: KeyAuthority
) -> None:
    signed = key_bundle(_legacy(), key)
    assert refusal(signed, authority) is R.LEGACY_FORMAT
    assert accepted(signed, authority, terms=Terms(legacy=True))


def test_the_broken_encoding_of_the_legacy_format_signs_legacy_statements_only(
    key: Key, authority: KeyAuthority
) -> None:
    def broken(value: Json) -> Json:
        payload = payload_of(value)
        signature = key.sign(dsse.encode_legacy(IN_TOTO, payload), ec.ECDSA(HASHES[key.curve.name]))
        envelope = {
            "payload": b64(payload),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": b64(signature)}],
        }
        return bundle(envelope, {"publicKey": {}})

    allowed = Terms(legacy=True)
    assert accepted(broken(_legacy()), authority, terms=allowed)
    assert refusal(broken(_legacy()), authority) is R.BAD_SIGNATURE
    assert refusal(broken(model_statement()), authority, terms=allowed) is R.BAD_SIGNATURE
