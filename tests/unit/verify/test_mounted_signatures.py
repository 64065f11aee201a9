"""Verification of mounted weights by the signatures beside them."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import MODEL, key_bundle, model_statement, public_pem, raw
from tests.signing.models import write_model
from tests.unit.verify.volumes import SHARDS, WHOLE, Volume, expected
from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.core.mounted import Expectation, Proof, Result, Signatures, Signer
from weighmaster.core.verify.reasons import VerificationReason as R


def signed_by(*keys: ec.EllipticCurvePrivateKey, **fields: object) -> Signatures:
    authorities = tuple((Signer(key=public_pem(key)),) for key in keys)
    return Signatures(authorities=authorities, **fields)  # type: ignore[arg-type]


def by_signature(*rules: Signatures, **fields: object) -> Expectation:
    whole: dict[str, object] = {"reference": "pvc://models/llama", "path": "signed", **fields}
    return Expectation(mount="0", signatures=rules, **whole)  # type: ignore[arg-type]


@pytest.fixture
def signed(volume: Volume, key: ec.EllipticCurvePrivateKey) -> Path:
    folder = write_model(volume.top / "signed", MODEL)
    (folder / "model.sig").write_bytes(raw(key_bundle(model_statement(), key)))
    return folder


def test_a_model_that_is_signed_beside_its_weights_is_verified(
    volume: Volume, signed: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    verdict = volume.verify(by_signature(signed_by(key)))
    assert verdict.result is Result.VERIFIED
    assert verdict.verified[0].signed_by[0].startswith("key")
    (signed / "model.sig").rename(signed / "result.sigstore")
    assert volume.verify(by_signature(signed_by(key))).result is Result.VERIFIED


def test_whatever_is_not_as_it_was_signed_is_refused_and_named(
    volume: Volume, signed: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    rule = by_signature(signed_by(key))
    other = ec.generate_private_key(ec.SECP256R1())
    assert volume.reason(by_signature(signed_by(other))) in (R.BAD_SIGNATURE, R.WRONG_IDENTITY)
    (signed / "evil.py").write_bytes(b"evil")
    verdict = volume.verify(rule)
    assert (verdict.reason, verdict.files) == (R.INCOMPLETE_COVERAGE, ("evil.py",))
    (signed / "evil.py").unlink()
    (signed / "more.md").write_bytes(b"more")
    assert volume.reason(rule) is R.EXTRA_FILES
    weights = by_signature(signed_by(key, coverage=Coverage.WEIGHTS))
    assert volume.verify(weights).result is Result.VERIFIED
    (signed / "more.md").unlink()
    (signed / "README.md").unlink()
    assert volume.reason(weights) is R.MISSING_FILES
    write_model(signed, {"README.md": MODEL["README.md"], "config.json": b"{}"})
    verdict = volume.verify(rule)
    assert (verdict.reason, verdict.files) == (R.MISMATCH, ("config.json",))
    (signed / "model.sig").unlink()
    assert volume.reason(rule) is R.NOT_SIGNED


def test_both_digest_and_signature_must_hold_where_both_are_asked_for(
    volume: Volume, signed: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    both = expected(dict(MODEL), path="signed", signatures=(signed_by(key),))
    assert volume.verify(both).result is Result.VERIFIED
    wrong = expected(SHARDS, path="signed", signatures=(signed_by(key),))
    assert volume.reason(wrong) is R.MISMATCH
    stranger = signed_by(ec.generate_private_key(ec.SECP256R1()))
    several = by_signature(signed_by(key), stranger)
    assert volume.verify(several).result is Result.REFUSED


def test_an_authority_counts_once_however_many_of_its_signers_signed(
    volume: Volume, signed: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    second = ec.generate_private_key(ec.SECP256R1())
    (signed / "result.sigstore").write_bytes(raw(key_bundle(model_statement(), second)))
    one, two = Signer(key=public_pem(key)), Signer(key=public_pem(second))
    apart = Signatures(authorities=((one,), (two,)), threshold=2)
    assert volume.verify(by_signature(apart)).result is Result.VERIFIED
    third = Signer(key=public_pem(ec.generate_private_key(ec.SECP256R1())))
    together = Signatures(authorities=((one, two), (third,)), threshold=2)
    assert volume.reason(by_signature(together)) is R.THRESHOLD_NOT_MET


def test_a_signed_folder_vouches_for_one_file_in_it_too(
    volume: Volume, signed: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    one = by_signature(signed_by(key), file="model.safetensors")
    (signed / "foreign.bin").write_bytes(b"nobody loads this")
    assert volume.verify(one).result is Result.VERIFIED
    assert volume.reason(by_signature(signed_by(key), file="foreign.bin")) is R.INCOMPLETE_COVERAGE
    (signed / "model.safetensors").write_bytes(b"evil")
    assert volume.reason(one) is R.MISMATCH


def test_a_file_with_a_signature_of_its_own_is_verified(
    volume: Volume, key: ec.EllipticCurvePrivateKey
) -> None:
    folder = write_model(volume.top / "signed/sub", {"m.gguf": b"GGUF"})
    bundle = raw(key_bundle(model_statement({"m.gguf": b"GGUF"}), key))
    (folder / "m.gguf.sig").write_bytes(bundle)
    one = by_signature(signed_by(key), file="sub/m.gguf")
    assert volume.verify(one).result is Result.VERIFIED
    (folder / "m.gguf").write_bytes(b"evil")
    assert volume.reason(one) is R.MISMATCH


def test_signers_that_cannot_be_used_verify_nothing(volume: Volume, signed: Path) -> None:
    del signed
    for signer in (Signer(), Signer(key="x"), Signer(key="x", issuer="y"), Signer(roots="x")):
        verdict = volume.verify(by_signature(Signatures(authorities=((signer,),))))
        assert (verdict.result, verdict.reason) == (Result.FAILED, "AuthorityUnusable")


def test_a_bundle_is_no_link_out_of_the_volume(
    volume: Volume, signed: Path, key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    (tmp_path / "outside.sig").write_bytes((signed / "model.sig").read_bytes())
    (signed / "model.sig").unlink()
    (signed / "model.sig").symlink_to(tmp_path / "outside.sig")
    assert volume.reason(by_signature(signed_by(key))) is R.UNSAFE_TREE


def test_whose_signatures_were_found_is_told_by_the_numbers_of_the_signers(
    volume: Volume, signed: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    """Later, when one of them is withdrawn, it matters who else had signed."""
    second, third = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (signed / "result.sigstore").write_bytes(raw(key_bundle(model_statement(), second)))
    strangers = signed_by(third, key)
    members = tuple(Signer(key=public_pem(each)) for each in (third, key, second))
    team = Signatures(authorities=(members,))
    (weighed,) = volume.verify(by_signature(strangers, team)).verified
    assert [[proof.by for proof in proofs] for proofs in weighed.proofs] == [[(1,)], [(1,), (2,)]]
    own, other = weighed.proofs[1]
    assert own.identity.startswith("sha256:")
    assert own.identity != other.identity
    assert weighed.proofs[0] == (own,)


def test_one_signature_may_be_of_several_signers(
    volume: Volume, signed: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    del signed
    (weighed,) = volume.verify(by_signature(signed_by(key, key))).verified
    ((proof,),) = weighed.proofs
    assert proof == Proof(by=(0, 1), identity=proof.identity)


def test_bytes_that_a_hub_vouches_for_need_no_proofs(volume: Volume) -> None:
    (weighed,) = volume.verify(WHOLE).verified
    assert weighed.proofs == ()
