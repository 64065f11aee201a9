"""Assessment: what a record says of its reference, given what was gathered."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import MODEL, key_bundle, model_statement, public_pem, raw
from weighmaster.api.schema import custom_resource_definition
from weighmaster.api.v1alpha1 import ModelRecord
from weighmaster.api.v1alpha1.authority import ObjectKeyRef
from weighmaster.api.v1alpha1.record import (
    Assertions,
    DetachedBundle,
    EvidenceState,
    ModelRecordSpec,
    ModelRecordStatus,
)
from weighmaster.core.assess import Supplied, assess, unavailable
from weighmaster.core.evaluate.records import HIDING
from weighmaster.core.evidence import (
    UNPLACED,
    Basis,
    CardFacts,
    CodeFacts,
    ContentFacts,
    Evidence,
    FileFact,
    FormatFact,
    Gap,
    GapReason,
    SignatureBundle,
    SignatureKind,
    Unavailable,
    UnavailableReason,
)
from weighmaster.core.statements import Belonging
from weighmaster.core.verify.authorities import KeyAuthority, KnownAuthority, key_authority

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REFERENCE = f"hf://acme/m@{'a' * 40}"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def file_facts(model: Mapping[str, bytes]) -> tuple[FileFact, ...]:
    return tuple(
        FileFact(name, len(data), hashlib.sha256(data).hexdigest(), Basis.FETCHED)
        for name, data in model.items()
    )


def signed_evidence(
    key: ec.EllipticCurvePrivateKey,
    reference: str = REFERENCE,
    model: Mapping[str, bytes] = MODEL,
    **fields: Any,
) -> Evidence:
    """Evidence of a model that a key has signed, the signature beside the files."""
    bundle = raw(key_bundle(model_statement(MODEL), key))
    return Evidence(
        **{
            "reference": reference,
            "resolved": reference,
            "files": file_facts({**model, "model.sig": bundle}),
            "signatures": (bundle_of(bundle),),
            "fetched_at": NOW.timestamp(),
            **fields,
        }
    )


def bundle_of(content: bytes, source: str = "model.sig") -> SignatureBundle:
    return SignatureBundle(kind=SignatureKind.BUNDLE, content=content, source=source)


def known(key: ec.EllipticCurvePrivateKey, identifier: str = "1" * 16) -> KnownAuthority:
    return KnownAuthority(identifier, authority=key_authority(public_pem(key)))


def status_of(
    evidence: Evidence,
    *authorities: KnownAuthority,
    bundle: bytes | None = None,
    unread: str | None = None,
    **spec: Any,
) -> ModelRecordStatus:
    return assess(
        evidence,
        Supplied(ModelRecordSpec(reference=evidence.reference, **spec), bundle, unread),
        authorities,
        Belonging("acme"),
        NOW,
    )


def assert_storable(status: ModelRecordStatus) -> None:
    """Whether the API server takes it: by our own types, and by the schema it is given."""
    document = msgspec.json.decode(msgspec.json.encode(status))
    msgspec.convert(document, ModelRecordStatus)
    definition = custom_resource_definition(ModelRecord)
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    check(document, schema["properties"]["status"], "status")


def check(value: Any, schema: Any, path: str) -> None:
    """As much of OpenAPI as our schemas use."""
    if value is None:
        return
    kind = schema.get("type")
    types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if kind in types:
        assert isinstance(value, types[kind]), path
    if kind == "integer":
        assert -(2**63) <= value < 2**63, path
        assert value >= schema.get("minimum", value), path
    if kind == "string":
        assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9), path
        if "enum" in schema:
            assert value in schema["enum"], path
    if kind == "array":
        assert len(value) <= schema.get("maxItems", 10**9), path
        for n, item in enumerate(value):
            check(item, schema["items"], f"{path}[{n}]")
    if kind == "object":
        assert set(value) <= set(schema["properties"]), path
        assert all(value.get(name) is not None for name in schema.get("required", ())), path
        for name, item in value.items():
            check(item, schema["properties"][name], f"{path}.{name}")


# Signatures.


def test_signature_over_all_files_is_verified_for_its_authority_only() -> None:
    status = status_of(signed_evidence(KEY), known(KEY), known(OTHER, "2" * 16))
    good, bad = status.authorities
    assert good.verified
    assert good.coverage == "All"
    assert good.method == "key"
    assert good.identity == known(KEY).authority.fingerprint  # type: ignore[union-attr]
    assert status.signed_by == good.identity
    assert not bad.verified
    assert bad.identity is None
    assert bad.message
    assert_storable(status)


def test_unsigned_model_is_not_signed_by_any_authority() -> None:
    status = status_of(signed_evidence(KEY, signatures=()), known(KEY))
    assert status.authorities[0].reason == "NotSigned"
    assert status.signed_by is None
    assert_storable(status)


def test_file_that_differs_from_what_was_signed_refutes_the_signature() -> None:
    tampered = {**MODEL, "model.safetensors": b"other"}
    status = status_of(signed_evidence(KEY, model=tampered), known(KEY))
    assert status.authorities[0].reason == "Mismatch"
    assert "differ from what was signed" in (status.authorities[0].message or "")


def test_file_that_is_missing_refutes_the_signature() -> None:
    rest = {name: data for name, data in MODEL.items() if name != "config.json"}
    status = status_of(signed_evidence(KEY, model=rest), known(KEY))
    assert status.authorities[0].reason == "MissingFiles"


def test_code_that_nobody_signed_refutes_the_signature() -> None:
    status = status_of(signed_evidence(KEY, model={**MODEL, "evil.py": b"import os"}), known(KEY))
    assert status.authorities[0].reason == "IncompleteCoverage"


def test_documentation_that_nobody_signed_leaves_the_weights_signed() -> None:
    status = status_of(signed_evidence(KEY, model={**MODEL, "NOTES.md": b"# Notes"}), known(KEY))
    assert status.authorities[0].verified
    assert status.authorities[0].coverage == "Weights"


def test_bundle_that_is_none_says_so() -> None:
    status = status_of(signed_evidence(KEY, signatures=(bundle_of(b"{}"),)), known(KEY))
    assert not status.authorities[0].verified
    assert status.authorities[0].reason not in (None, "NotSigned")


@pytest.mark.parametrize(
    "reason",
    [GapReason.LISTING_INCOMPLETE, GapReason.ARCHIVE_NOT_OPENED, GapReason.PLATFORMS_NOT_READ],
)
def test_signature_proves_nothing_while_not_all_files_are_known(reason: GapReason) -> None:
    status = status_of(signed_evidence(KEY, gaps=(Gap(reason, "more"),)), known(KEY))
    assert status.authorities[0].reason == "ListingIncomplete"


def test_signature_proves_nothing_while_a_digest_is_unknown() -> None:
    bare = signed_evidence(KEY)
    files = (msgspec.structs.replace(bare.files[0], sha256=None), *bare.files[1:])
    status = status_of(msgspec.structs.replace(bare, files=files), known(KEY))
    assert not status.authorities[0].verified
    assert status.manifest_digest is None


@pytest.mark.parametrize("reason", [GapReason.SIGNATURES_UNKNOWN, GapReason.SIGNATURE_NOT_READ])
def test_no_signature_holds_while_another_could_not_be_read(reason: GapReason) -> None:
    status = status_of(signed_evidence(KEY, gaps=(Gap(reason, "model.sig"),)), known(KEY))
    assert status.authorities[0].reason == "SignaturesUnknown"


def test_authority_that_cannot_be_used_is_said_to_be_so() -> None:
    broken = KnownAuthority("3" * 16, problem="the key is not a public key in PEM")
    status = status_of(signed_evidence(KEY), broken, known(KEY))
    assert status.authorities[0].reason == "AuthorityUnusable"
    assert status.authorities[0].message == "the key is not a public key in PEM"
    assert status.authorities[1].verified


def test_bundle_that_is_given_with_the_record_counts() -> None:
    bundle = raw(key_bundle(model_statement(MODEL), KEY)).decode()
    bare = signed_evidence(KEY, signatures=(), files=file_facts(MODEL))
    status = status_of(bare, known(KEY), signature=DetachedBundle(inline=bundle))
    assert status.authorities[0].verified
    tampered = msgspec.structs.replace(bare, files=file_facts({**MODEL, "config.json": b"{}"}))
    status = status_of(tampered, known(KEY), signature=DetachedBundle(inline=bundle))
    assert status.authorities[0].reason == "Mismatch"


def test_bundle_that_is_kept_elsewhere_counts_as_one_in_the_record() -> None:
    bundle = raw(key_bundle(model_statement(MODEL), KEY))
    bare = signed_evidence(KEY, signatures=(), files=file_facts(MODEL))
    spec = DetachedBundle(config_map_ref=ObjectKeyRef(name="bundle"))
    assert not status_of(bare, known(KEY), signature=spec).authorities[0].verified
    assert status_of(bare, known(KEY), signature=spec, bundle=bundle).authorities[0].verified


def test_no_signature_holds_while_the_one_that_is_given_by_name_could_not_be_read() -> None:
    problem = "ConfigMap bundle does not exist; create it"
    status = status_of(signed_evidence(KEY), known(KEY), unread=problem)
    assert status.failures[0].reason == "SignatureNotRead"
    assert status.failures[0].message == problem
    assert not status.authorities[0].verified
    assert status.authorities[0].message == problem


def test_signature_of_several_authorities_is_shown_by_the_first() -> None:
    bundles = tuple(
        bundle_of(raw(key_bundle(model_statement(MODEL), key)), name)
        for key, name in ((KEY, "a.sig"), (OTHER, "b.sig"))
    )
    files = file_facts({**MODEL, "a.sig": bundles[0].content, "b.sig": bundles[1].content})
    both = signed_evidence(KEY, signatures=bundles, files=files)
    status = status_of(both, known(KEY), known(OTHER, "2" * 16))
    assert [result.verified for result in status.authorities] == [True, True]
    assert isinstance(known(KEY).authority, KeyAuthority)
    assert status.signed_by == status.authorities[0].identity


# Facts and assertions.


def test_asserted_facts_never_outrank_fetched_ones() -> None:
    card = CardFacts(license="GPL-3.0-only", base_models=("hf://root/a",), source="README.md")
    told = Assertions(license="MIT", base_models=["hf://kind/b"])
    status = status_of(signed_evidence(KEY, card=card), asserted=told)
    assert status.license == "GPL-3.0-only"
    assert status.base_models == ["hf://root/a"]


def test_asserted_facts_fill_in_what_could_not_be_fetched() -> None:
    told = Assertions(license="MIT", base_models=["hf://kind/b"])
    status = status_of(signed_evidence(KEY), asserted=told)
    assert status.license == "MIT"
    assert status.base_models == ["hf://kind/b"]
    assert status.lineage_known


def test_asserted_lineage_adds_to_an_incomplete_one_and_takes_nothing_away() -> None:
    card = CardFacts(base_models=("hf://root/a",), source="README.md")
    gap = Gap(GapReason.LINEAGE_INCOMPLETE, "some cannot be read")
    bare = signed_evidence(KEY, card=card, gaps=(gap,))
    assert not status_of(bare).lineage_known
    status = status_of(bare, asserted=Assertions(base_models=["hf://kind/b", "hf://root/a"]))
    assert status.base_models == ["hf://root/a", "hf://kind/b"]
    assert status.lineage_known


def test_assertion_of_nothing_makes_no_lineage_known() -> None:
    assert not status_of(signed_evidence(KEY), asserted=Assertions(license="MIT")).lineage_known


def test_card_that_names_no_base_model_says_that_there_is_none() -> None:
    assert status_of(signed_evidence(KEY, card=CardFacts(source="README.md"))).lineage_known
    assert not status_of(signed_evidence(KEY)).lineage_known


@pytest.mark.parametrize(
    "reason",
    [GapReason.LINEAGE_INCOMPLETE, GapReason.CARD_MALFORMED, GapReason.CONFIG_NOT_READ],
)
def test_card_that_could_not_be_read_in_full_says_nothing_of_lineage(reason: GapReason) -> None:
    gap = Gap(reason, "README.md")
    card = CardFacts(source="README.md")
    assert not status_of(signed_evidence(KEY, card=card, gaps=(gap,))).lineage_known


def test_base_model_that_a_record_cannot_hold_leaves_the_lineage_unknown() -> None:
    card = CardFacts(base_models=("hf://root/a", "unresolved:two words"), source="README.md")
    status = status_of(signed_evidence(KEY, card=card))
    assert status.base_models == ["hf://root/a"]
    assert not status.lineage_known
    assert_storable(status)


def test_proposed_content_is_said_to_be_of_anybody() -> None:
    status = status_of(signed_evidence(KEY, proposed=True))
    assert status.failures[0].reason == "Proposed"


def test_evidence_holds_until_the_first_part_of_it_expires() -> None:
    later = NOW.timestamp()
    assert status_of(signed_evidence(KEY)).expires_at is None
    both = signed_evidence(KEY, expires_at=later + 20, signatures_expire_at=later + 10)
    assert status_of(both).expires_at == datetime.fromtimestamp(later + 10, UTC)


# Bounds.


def test_status_of_a_monstrous_model_can_be_stored() -> None:
    huge = 2**70
    monster = signed_evidence(
        KEY,
        files=(FileFact("a" * 5000, huge, None, Basis.FETCHED),),
        card=CardFacts(
            license="X" * 5000,
            base_models=tuple(f"hf://b/{n}" for n in range(200)),
            source="README.md",
        ),
        content=ContentFacts(
            formats=tuple(FormatFact(f"f{n}", n, huge, Basis.FETCHED) for n in range(50)),
            code=CodeFacts(foreign=tuple(f"hf://c/{'x' * 4000}{n}" for n in range(200))),
        ),
        gaps=tuple(
            [Gap(GapReason.CONTENT_NOT_READ, "x" * 9000) for _ in range(100)]
            + [Gap(GapReason.LISTING_INCOMPLETE, "")]
        ),
    )
    broken = [KnownAuthority(f"{n:016x}", problem="p" * 9000) for n in range(400)]
    status = status_of(monster, *broken)
    assert_storable(status)
    assert len(status.authorities) == 256
    assert not status.lineage_known
    assert status.license == "LicenseRef-too-long"
    told = [failure.reason for failure in status.failures[:2]]
    assert told == ["ConfigMalformed", "ListingIncomplete"], "what matters most is not cut off"


@pytest.mark.parametrize("reason", sorted(UNPLACED | HIDING))
def test_no_number_of_other_gaps_hides_one_that_rules_ask_after(reason: GapReason) -> None:
    others = [Gap(GapReason.CONFIG_MALFORMED, f"config{n}.json") for n in range(100)]
    status = status_of(signed_evidence(KEY, gaps=(*others, Gap(reason, "x"))))
    assert reason in [failure.reason for failure in status.failures]


@pytest.mark.parametrize("foreign", ["unresolved:control character in hf://x y", "x" * 3000])
def test_code_that_is_named_unreadably_is_not_passed_over(foreign: str) -> None:
    code = CodeFacts(foreign=("hf://acme/code", foreign))
    status = status_of(signed_evidence(KEY, content=ContentFacts(code=code)))
    assert status.foreign_code == ["hf://acme/code"]
    assert GapReason.CONFIG_MALFORMED in [failure.reason for failure in status.failures]


@pytest.mark.parametrize("reason", list(UnavailableReason))
@pytest.mark.parametrize("message", ["", "no answer", "x" * 9000])
def test_status_of_what_could_not_be_resolved_can_be_stored(
    reason: UnavailableReason, message: str
) -> None:
    answer = Unavailable(reference=REFERENCE, reason=reason, message=message, at=1.5)
    status = unavailable(answer, Belonging("acme"))
    transient = reason in (UnavailableReason.UNREACHABLE, UnavailableReason.RATE_LIMITED)
    assert status.state is (EvidenceState.UNAVAILABLE if transient else EvidenceState.FAILED)
    assert status.failures[0].reason == reason
    assert status.authorities == []
    assert status.resolved is None
    assert_storable(status)
