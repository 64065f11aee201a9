"""Real cosign, a real registry, a hub, and a real API server: attested models are admitted."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.e2e.artifacts import Bench
from tests.e2e.test_admission import apply
from tests.e2e.test_evidence import arguments, record
from tests.e2e.workloads import pod
from tests.hub.artifacts import MANIFEST, Contents
from tests.hub.repositories import Repository, model
from tests.hub.server import Hub
from tests.signing.attesting import (
    FAILED,
    PASSED,
    SCAN,
    about_files,
    attestation,
    bundled,
    enveloped,
)
from tests.signing.bundles import public_pem
from tests.signing.chains import Chain
from weighmaster.api.v1alpha1.record import (
    AttestationResult,
    AttestationState,
    ModelRecordSpec,
)
from weighmaster.core.assess import Supplied, assess
from weighmaster.core.attestations import Demand
from weighmaster.core.evaluate.records import record_name
from weighmaster.core.evidence import SignatureKind
from weighmaster.core.statements import Belonging
from weighmaster.core.verify.authorities import (
    Authority,
    KnownAuthority,
    certificate_authority,
    key_authority,
)
from weighmaster.core.verify.reasons import VerificationReason as R

Json = dict[str, Any]
MakePolicy = Callable[..., str]

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
BOM = "https://cyclonedx.org/bom"
ATTESTED, NOT_ATTESTED = AttestationState.ATTESTED, AttestationState.NOT_ATTESTED

FORMS = {
    "2.5 envelope": ("2.5", SignatureKind.COSIGN_ATTESTATION, ()),
    "2.5 bundle": ("2.5", SignatureKind.BUNDLE, ("--new-bundle-format",)),
    "3.1 envelope": ("3.1", SignatureKind.COSIGN_ATTESTATION, ("--new-bundle-format=false",)),
    "3.1 bundle": ("3.1", SignatureKind.BUNDLE, ()),
}
"""Which program writes what: version, kind of material, arguments."""

network = pytest.mark.network
forms = pytest.mark.parametrize("form", FORMS)


# What a record comes to say.


def attest(bench: Bench, digest: str, form: str, predicate: Json, **options: Any) -> Authority:
    """Attest something of an artifact by key in a form of FORMS."""
    version, _, more = FORMS[form]
    program = bench.programs[version]
    written = json.dumps(predicate)
    program.attest(bench.name(digest), *more, predicate=written, **{"kind": SCAN, **options})
    return key_authority(program.public_key)


async def result_of(
    bench: Bench, digest: str, authority: Authority, kind: str = SCAN
) -> AttestationResult:
    """What a record says of an authority after gathering."""
    evidence = await bench.gather(digest)
    supplied = Supplied(ModelRecordSpec(reference=evidence.reference))
    demand = Demand(kind, KnownAuthority("1" * 16, authority))
    status = assess(evidence, supplied, (), Belonging("acme"), datetime.now(UTC), (demand,))
    return status.attestations[0]


def predicates(found: AttestationResult) -> list[Any]:
    return sorted((json.loads(str(each.predicate)) for each in found.statements), key=json.dumps)


@network
@forms
async def test_an_attestation_by_key_is_found_and_verified(bench: Bench, form: str) -> None:
    digest = bench.push()
    authority = attest(bench, digest, form, {"result": "PASSED", "n": [1, 2.5], "x": None})
    evidence = await bench.gather(digest)
    assert [each.kind for each in evidence.signatures] == [FORMS[form][1]]
    found = await result_of(bench, digest, authority)
    assert found.state is ATTESTED, found
    assert predicates(found) == [{"result": "PASSED", "n": [1, 2.5], "x": None}]
    assert (await result_of(bench, digest, authority, "other")).state is NOT_ATTESTED
    stranger = bench.programs["3.1" if form.startswith("2.5") else "2.5"]
    refused = await result_of(bench, digest, key_authority(stranger.public_key))
    assert refused.state is NOT_ATTESTED
    assert refused.reason in (R.BAD_SIGNATURE, R.WRONG_IDENTITY)


@network
@forms
async def test_an_attestation_with_a_certificate_is_found_and_verified(
    bench: Bench, form: str, chain: Chain
) -> None:
    digest = bench.push()
    attest(bench, digest, form, PASSED, certified=True)
    # Only the older form has the chain beside it.
    anchor = chain.root.pem if form == "2.5 envelope" else chain.intermediate.pem
    found = await result_of(bench, digest, certificate_authority(anchor, chain.identity))
    assert found.state is ATTESTED, found
    assert found.statements[0].identity == chain.identity
    stranger = certificate_authority(anchor, "https://evil.example/signer")
    assert (await result_of(bench, digest, stranger)).reason == R.WRONG_IDENTITY
    elsewhere = certificate_authority(Chain(root="Other").root.pem, chain.identity)
    assert (await result_of(bench, digest, elsewhere)).reason == R.UNTRUSTED_ROOT


@network
async def test_what_cosign_knows_by_name_has_the_type_of_its_specification(bench: Bench) -> None:
    digest = bench.push()
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}
    authority = attest(bench, digest, "3.1 bundle", bom, kind="cyclonedx")
    found = await result_of(bench, digest, authority, BOM)
    assert found.state is ATTESTED
    assert predicates(found) == [bom]


@network
@forms
async def test_all_that_was_attested_is_found_until_it_is_replaced(bench: Bench, form: str) -> None:
    digest = bench.push()
    authority = attest(bench, digest, form, PASSED)
    attest(bench, digest, form, FAILED)
    found = await result_of(bench, digest, authority)
    assert predicates(found) == [FAILED, PASSED]
    if FORMS[form][1] is SignatureKind.COSIGN_ATTESTATION:  # cosign replaces nothing in bundles
        version, _, more = FORMS[form]
        program = bench.programs[version]
        program.attest(bench.name(digest), *more, "--replace", predicate="{}", kind=SCAN)
        assert predicates(await result_of(bench, digest, authority)) == [{}]


@network
@pytest.mark.parametrize("form", ["2.5 envelope", "3.1 bundle"])
async def test_an_attestation_that_was_copied_is_of_another_artifact(
    bench: Bench, form: str
) -> None:
    scanned, other = bench.push(), bench.push()
    authority = attest(bench, scanned, form, PASSED)
    contents = Contents()
    if form == "2.5 envelope":
        contents.put(bench.get(f"{scanned.replace(':', '-')}.att", MANIFEST),
                     f"{other.replace(':', '-')}.att")  # fmt: skip
    else:
        bundle = (await bench.gather(scanned)).signatures[0].content
        referrer = contents.bundle({"mediaType": MANIFEST, "digest": other, "size": 1}, bundle)
        contents.index([referrer], other.replace(":", "-"))
    bench.registry.push(bench.repository, contents)
    found = await result_of(bench, other, authority)
    assert (found.state, found.reason) == (NOT_ATTESTED, R.OTHER_ARTIFACT)
    assert scanned in str(found.message)


# What the API server does about it.


def asks(pem: str, expression: str = "predicate.result == 'PASSED'", kind: str = SCAN) -> Json:
    rule = {"predicateType": kind, "authorities": [{"key": {"pem": pem}}]}
    return {"attestation": {**rule, "expression": expression}}


def said_of_artifact(control_plane: ControlPlane, namespace: str, bench: Bench, digest: str) -> str:
    """What is said about a pod that mounts an artifact, once its evidence is there."""
    probe = pod(namespace, "probe", "--model=/models")
    probe["spec"]["volumes"] = [{"name": "models", "image": {"reference": bench.name(digest)}}]
    probe["spec"]["containers"][0]["volumeMounts"] = [{"name": "models", "mountPath": "/models"}]
    return settled(control_plane, probe)


def said_of(control_plane: ControlPlane, namespace: str, repository: Repository) -> str:
    return settled(control_plane, pod(namespace, "probe", *arguments(repository)))


def settled(control_plane: ControlPlane, probe: Json) -> str:
    def said() -> str:
        return apply(control_plane, probe)[1]

    last = said()
    for _ in range(20):
        if "EvidenceNotAvailable" not in last and "EvidencePending" not in last:
            break
        eventually(lambda: "Evidence" not in apply(control_plane, probe, dry_run=True)[1], within=1)
        last = said()
    namespace = probe["metadata"]["namespace"]
    control_plane.kubectl("delete", "pod", "probe", "-n", namespace, "--ignore-not-found")
    return last


@pytest.mark.usefixtures("installation")
@pytest.mark.parametrize("form", ["2.5 envelope", "3.1 bundle"])
def test_artifacts_are_admitted_by_what_cosign_attested(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, bench: Bench, form: str
) -> None:
    program = bench.programs[form[:3]]
    stranger = "3.1 bundle" if form.startswith("2.5") else "2.5 envelope"
    good, bad, bare, foreign, both = (bench.push() for _ in range(5))
    attest(bench, good, form, PASSED)
    attest(bench, good, stranger, FAILED)
    attest(bench, bad, form, FAILED)
    attest(bench, foreign, stranger, PASSED)
    attest(bench, both, form, PASSED)
    attest(bench, both, form, FAILED)
    policy(asks(program.public_key))
    assert "created" in said_of_artifact(control_plane, namespace, bench, good)
    for digest, reason, words in (
        (bad, "PredicateFalse", 'predicate.result is "FAILED"'),
        (bare, "NotAttested", "there is no attestation of this type"),
        (foreign, "NotAttested", "somebody else signed" if "envelope" in form else "another key"),
        (both, "PredicateFalse", 'predicate.result is "FAILED"'),
    ):
        said = said_of_artifact(control_plane, namespace, bench, digest)
        assert f"[{reason}]" in said, said
        if digest != foreign:
            assert words in said
        assert SCAN in said


def attested(
    hub: Hub, name: str, predicate: Json = PASSED, key: ec.EllipticCurvePrivateKey = KEY
) -> Repository:
    """A repository on the hub with an attestation of all its files in its folder for them."""
    repository = model(name)
    bundle = bundled(attestation(about_files(repository.files), predicate), key)
    repository.files["attestations/scan.sigstore.json"] = bundle.content
    return hub.add(repository)


@pytest.mark.usefixtures("installation")
def test_repositories_are_admitted_by_what_lies_beside_their_files(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    good = attested(hub, f"acme/{namespace}-good")
    bad = attested(hub, f"acme/{namespace}-bad", FAILED)
    foreign = attested(hub, f"acme/{namespace}-foreign", key=OTHER_KEY)
    bare = hub.add(model(f"acme/{namespace}-bare"))
    copied = hub.add(model(f"acme/{namespace}-copied"))
    copied.files["model-00001-of-00002.safetensors"] += b"\0"
    copied.files["model-00002-of-00002.safetensors"] += b"\0"
    copied.files["attestations/scan.sigstore.json"] = good.files["attestations/scan.sigstore.json"]
    extra = attested(hub, f"acme/{namespace}-extra")
    extra.files["evil.py"] = b"import os\n"
    lines = model(f"acme/{namespace}-lines")
    envelope = enveloped(attestation(about_files(lines.files)), KEY).content
    lines.files["scans.intoto.jsonl"] = b"\n".join([b"# not an envelope", envelope, b""])
    hub.add(lines)
    policy(asks(public_pem(KEY)))
    for repository in (good, lines):
        assert "created" in said_of(control_plane, namespace, repository)
    for repository, reason, words in (
        (bad, "PredicateFalse", 'predicate.result is "FAILED"'),
        (foreign, "NotAttested", "another key"),
        (bare, "NotAttested", "there is no attestation of this type"),
        (copied, "NotAttested", "is not of this model"),
        (extra, "NotAttested", "evil.py"),
    ):
        said = said_of(control_plane, namespace, repository)
        assert f"[{reason}]" in said, said
        assert words in said, said
    stored = record(control_plane, good)["status"]["attestations"]
    assert [each["state"] for each in stored] == ["Attested"]
    assert stored[0]["statements"][0]["predicate"] == '{"result":"PASSED"}'


@pytest.mark.usefixtures("installation")
def test_an_edited_expression_counts_at_once_and_without_looking_again(
    control_plane: ControlPlane, hub: Hub, namespace: str, policy: MakePolicy
) -> None:
    repository = attested(hub, f"acme/{namespace}-edited", {"result": "PASSED", "version": 2})
    name = policy(asks(public_pem(KEY)))
    assert "created" in said_of(control_plane, namespace, repository)
    asked = len(hub.requests(repository.name))
    policy(asks(public_pem(KEY), "predicate.version >= 3"), name=name)
    probe = pod(namespace, "probe", *arguments(repository))
    assert eventually(
        lambda: "predicate.version is 2" in apply(control_plane, probe, dry_run=True)[1], within=5
    )
    assert len(hub.requests(repository.name)) == asked


@pytest.mark.usefixtures("installation")
def test_the_record_of_an_attested_artifact_is_readable(
    control_plane: ControlPlane, namespace: str, policy: MakePolicy, bench: Bench
) -> None:
    digest = bench.push()
    attest(bench, digest, "3.1 bundle", {"result": "PASSED", "by": "modelscan"})
    policy(asks(bench.programs["3.1"].public_key))
    assert "created" in said_of_artifact(control_plane, namespace, bench, digest)
    name = record_name(f"oci://{bench.name(digest)}")
    written = control_plane.kubectl("get", "modelrecord", name, "-o", "yaml").stdout
    assert """predicate: '{"by":"modelscan","result":"PASSED"}'""" in written
    assert f"predicateType: {SCAN}" in written
    assert "state: Attested" in written
