"""Several bundles and several authorities: thresholds, copies, and what does not count twice."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import MODEL, Json, key_bundle, model_statement, public_pem, raw
from tests.signing.chains import NOW, Chain
from tests.signing.models import files_of
from tests.unit.verify.test_certificates import signed as certificate_signed
from weighmaster.core.verify.authorities import certificate_authority, key_authority
from weighmaster.core.verify.compare import File, Scope
from weighmaster.core.verify.model import MAX_BUNDLES, Requirement, Verified, verify_model
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.errors import AuthorityError, VerificationError

KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
AUTHORITIES = tuple(key_authority(public_pem(key)) for key in KEYS)


def signed(*signers: int, model: dict[str, bytes] = MODEL) -> list[Json]:
    return [key_bundle(model_statement(model), KEYS[signer]) for signer in signers]


def check(
    bundles: list[Json], requirement: Requirement, files: dict[str, File] | None = None
) -> Verified:
    documents = [raw(bundle) for bundle in bundles]
    return verify_model(documents, requirement, files or files_of(), Scope(), NOW)


def reason(
    bundles: list[Json], requirement: Requirement, files: dict[str, File] | None = None
) -> R:
    with pytest.raises(VerificationError) as caught:
        check(bundles, requirement, files)
    return R(caught.value.reason)


ANY_TWO = Requirement(authorities=AUTHORITIES, threshold=2)


def test_two_of_three_suffice_where_two_must_sign() -> None:
    assert len(check(signed(0, 2), ANY_TWO).signers) == 2
    assert reason(signed(1), ANY_TWO) is R.THRESHOLD_NOT_MET


def test_one_authority_that_signs_twice_counts_once() -> None:
    assert reason(signed(0, 0), ANY_TWO) is R.THRESHOLD_NOT_MET


def test_one_key_that_is_listed_twice_counts_once() -> None:
    requirement = Requirement(authorities=(AUTHORITIES[0], AUTHORITIES[0]), threshold=2)
    assert reason(signed(0, 0), requirement) is R.THRESHOLD_NOT_MET


def test_signatures_over_different_models_do_not_add_up() -> None:
    other = signed(1, model={**MODEL, "config.json": b"{}"})
    assert reason([*signed(0), *other], ANY_TWO) is R.THRESHOLD_NOT_MET


def test_signatures_of_strangers_do_not_count_and_do_not_harm() -> None:
    stranger = key_bundle(model_statement(), ec.generate_private_key(ec.SECP256R1()))
    broken = {"mediaType": "x"}
    assert len(check([stranger, broken, *signed(0, 1)], ANY_TWO).signers) == 2
    assert reason([stranger, broken], ANY_TWO) is R.WRONG_IDENTITY


def test_authorities_of_different_methods_add_up() -> None:
    chain = Chain()
    certificate = certificate_authority(chain.root.pem, chain.identity)
    bundles = [*signed(0), certificate_signed(chain.leaf(), chain.intermediate)]
    requirement = Requirement(authorities=(AUTHORITIES[0], certificate), threshold=2)
    verified = check(bundles, requirement)
    assert [signer.method.value for signer in verified.signers] == ["key", "certificate"]


def test_a_signer_that_fits_two_authorities_leaves_one_of_them_to_another() -> None:
    """Otherwise the order of authorities would decide."""
    chain = Chain()
    other = Chain(chain.identity, "Other root")
    roots = chain.root.pem + other.root.pem
    both = certificate_authority(roots, chain.identity)
    one = certificate_authority(chain.root.pem, chain.identity)
    bundles = [
        certificate_signed(chain.leaf(), chain.intermediate),
        certificate_signed(other.leaf(), other.intermediate),
    ]
    for authorities in ((both, one), (one, both)):
        requirement = Requirement(authorities=authorities, threshold=2)
        for order in (bundles, bundles[::-1]):
            assert len(check(order, requirement).signers) == 2


def test_the_files_decide_between_signatures_of_several_versions() -> None:
    old = {**MODEL, "config.json": b"{}"}
    bundles = [*signed(0, model=old), *signed(0)]
    requirement = Requirement(authorities=AUTHORITIES)
    current, previous = check(bundles, requirement), check(bundles, requirement, files_of(old))
    assert current.manifest_digest != previous.manifest_digest
    assert reason(bundles, requirement, files_of({"x": b"x"})) is R.MISSING_FILES


def test_a_signature_that_allows_links_does_not_allow_them_for_one_that_does_not() -> None:
    strict = key_bundle(model_statement(), KEYS[0])
    loose = key_bundle(model_statement(allow_symlinks=True), KEYS[1])
    digest = hashlib.sha256(MODEL["config.json"]).hexdigest()
    files = {**files_of(), "config.json": File(digest, symlink=True)}
    for bundles in ([strict, loose], [loose, strict]):
        assert reason(bundles, ANY_TWO, files) is R.SYMLINK
        assert check(bundles, ANY_TWO).signers


def test_a_model_without_signatures_is_not_signed() -> None:
    assert reason([], ANY_TWO) is R.NOT_SIGNED


def test_more_signatures_than_are_read_are_refused() -> None:
    assert reason(signed(*[0] * (MAX_BUNDLES + 1)), ANY_TWO) is R.TOO_LARGE


@pytest.mark.parametrize("threshold", [0, -1, 4])
def test_a_threshold_that_nothing_or_everything_meets_cannot_be_made(threshold: int) -> None:
    with pytest.raises(AuthorityError, match="threshold"):
        Requirement(authorities=AUTHORITIES, threshold=threshold)


def test_an_empty_list_of_authorities_cannot_be_made() -> None:
    with pytest.raises(AuthorityError, match="threshold"):
        Requirement(authorities=())


def test_one_verification_leaves_nothing_behind_for_the_next() -> None:
    """The reference keeps the first model's settings and accepts an evil file in the second."""
    lax = key_bundle(model_statement(ignore_paths=["evil.py"], allow_symlinks=True), KEYS[0])
    requirement = Requirement(authorities=AUTHORITIES)
    assert check([lax], requirement).signers
    evil = {**files_of(), **files_of({"evil.py": b"evil"})}
    assert reason(signed(0), requirement, evil) is R.INCOMPLETE_COVERAGE
    assert reason([lax], requirement, evil) is R.INCOMPLETE_COVERAGE


def test_the_nearest_failure_is_the_one_that_is_told() -> None:
    root_of_other = key_bundle(model_statement(root="0" * 64), KEYS[0])
    stranger = key_bundle(model_statement(), ec.generate_private_key(ec.SECP256R1()))
    requirement = Requirement(authorities=AUTHORITIES)
    assert reason([stranger, root_of_other], requirement) is R.INCONSISTENT
