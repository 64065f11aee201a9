"""Real cosign, a real registry, our gathering and verification: what a record comes to say."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.artifacts import Bench
from tests.hub.artifacts import BUNDLE, INDEX, MANIFEST, Contents
from tests.signing.chains import Chain
from tests.signing.cosign import SUITES
from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.api.v1alpha1.record import AuthorityResult, ModelRecordSpec, SignatureMethod
from weighmaster.core.assess import Supplied, assess
from weighmaster.core.evidence import SignatureKind
from weighmaster.core.statements import Belonging
from weighmaster.core.verify.authorities import (
    Authority,
    KnownAuthority,
    certificate_authority,
    key_authority,
)
from weighmaster.core.verify.reasons import VerificationReason as R

pytestmark = pytest.mark.network

FORMS = {
    "2.5 tag": ("2.5", SignatureKind.COSIGN_SIGNATURE, ()),
    "2.5 referrer": (
        "2.5", SignatureKind.COSIGN_SIGNATURE, ("--registry-referrers-mode=oci-1-1",),
    ),
    "3.1 tag": ("3.1", SignatureKind.COSIGN_SIGNATURE, ("--new-bundle-format=false",)),
    "3.1 bundle": ("3.1", SignatureKind.BUNDLE, ()),
}  # fmt: skip
"""Which program writes what: version, kind of material, arguments."""


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sign(bench: Bench, digest: str, form: str, **options: Any) -> Authority:
    """Sign an artifact by key in a form of FORMS."""
    version, _, arguments = FORMS[form]
    program = bench.programs[version]
    program.sign(bench.name(digest), *arguments, **options)
    return key_authority(program.public_key)


async def result_of(bench: Bench, digest: str, authority: Authority) -> AuthorityResult:
    """What a record says of an authority after gathering."""
    evidence = await bench.gather(digest)
    supplied = Supplied(ModelRecordSpec(reference=evidence.reference))
    known = KnownAuthority("1" * 16, authority)
    status = assess(evidence, supplied, [known], Belonging("acme"), datetime.now(UTC))
    return status.authorities[0]


async def test_a_signature_by_key_is_found_and_verified(bench: Bench, form: str) -> None:
    digest = bench.push()
    authority = sign(bench, digest, form)
    evidence = await bench.gather(digest)
    assert [each.kind for each in evidence.signatures] == [FORMS[form][1]]
    result = await result_of(bench, digest, authority)
    assert (result.verified, result.method) == (True, SignatureMethod.KEY), result
    assert result.coverage is Coverage.ALL
    stranger = bench.programs["3.1" if form.startswith("2.5") else "2.5"]
    refused = await result_of(bench, digest, key_authority(stranger.public_key))
    assert not refused.verified
    assert refused.reason in (R.BAD_SIGNATURE, R.WRONG_IDENTITY)


async def test_a_signature_with_a_certificate_is_found_and_verified(
    bench: Bench, form: str, chain: Chain
) -> None:
    digest = bench.push()
    sign(bench, digest, form, certified=True)
    # 3.1 keeps the leaf alone of a chain, in both forms: whoever trusts it trusts the
    # intermediate by its own certificate.
    anchor = chain.root.pem if form.startswith("2.5") else chain.intermediate.pem
    result = await result_of(bench, digest, certificate_authority(anchor, chain.identity))
    assert (result.verified, result.method) == (True, SignatureMethod.CERTIFICATE), result
    assert (result.identity, result.coverage) == (chain.identity, Coverage.ALL)
    stranger = certificate_authority(anchor, "https://evil.example/signer")
    assert (await result_of(bench, digest, stranger)).reason == R.WRONG_IDENTITY
    elsewhere = certificate_authority(Chain(root="Other").root.pem, chain.identity)
    assert (await result_of(bench, digest, elsewhere)).reason == R.UNTRUSTED_ROOT


async def test_an_artifact_that_nobody_signed_is_not_signed(bench: Bench) -> None:
    authority = key_authority(bench.programs["2.5"].public_key)
    assert (await result_of(bench, bench.push(), authority)).reason == R.NOT_SIGNED


async def test_a_signature_copied_to_the_tag_of_another_artifact_is_refused(bench: Bench) -> None:
    signed, unsigned = bench.push(), bench.push()
    authority = sign(bench, signed, "2.5 tag")
    manifest = bench.get(f"{signed.replace(':', '-')}.sig", MANIFEST)
    contents = Contents()
    contents.put(manifest, f"{unsigned.replace(':', '-')}.sig")
    bench.registry.push(bench.repository, contents)
    result = await result_of(bench, unsigned, authority)
    assert (result.verified, result.reason) == (False, R.OTHER_ARTIFACT)


async def test_a_bundle_copied_to_another_artifact_is_refused(bench: Bench) -> None:
    signed, unsigned = bench.push(), bench.push()
    authority = sign(bench, signed, "3.1 bundle")
    bundle = (await bench.gather(signed)).signatures[0].content
    subject = {"mediaType": MANIFEST}
    contents = Contents()
    referrer = contents.bundle({**subject, "digest": unsigned, "size": 1}, bundle)
    contents.index([referrer], unsigned.replace(":", "-"))
    bench.registry.push(bench.repository, contents)
    result = await result_of(bench, unsigned, authority)
    assert (result.verified, result.reason) == (False, R.OTHER_ARTIFACT)


@pytest.mark.parametrize("version", SUITES)
async def test_an_attestation_alone_is_no_signature(bench: Bench, version: str) -> None:
    digest = bench.push()
    program = bench.programs[version]
    program.attest(bench.name(digest))
    result = await result_of(bench, digest, key_authority(program.public_key))
    assert (result.verified, result.reason) == (False, R.ATTESTATION)


async def test_signatures_of_several_programs_stand_beside_each_other(bench: Bench) -> None:
    digest = bench.push()
    old = sign(bench, digest, "2.5 tag")
    new = sign(bench, digest, "3.1 bundle")
    bench.programs["3.1"].attest(bench.name(digest))
    assert len((await bench.gather(digest)).signatures) == 3
    for authority in (old, new):
        assert (await result_of(bench, digest, authority)).verified


async def test_the_index_that_cosign_writes_itself_is_understood(bench: Bench) -> None:
    """It holds the configuration's media type, where the specification has the artifact's.

    https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema
    """
    digest = bench.push()
    authority = sign(bench, digest, "3.1 bundle")
    (entry,) = bench.get(digest.replace(":", "-"), INDEX)["manifests"]
    assert entry["artifactType"] != BUNDLE
    assert (await result_of(bench, digest, authority)).verified
