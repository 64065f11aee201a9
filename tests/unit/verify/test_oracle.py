"""Against the reference implementation, model-signing 1.1.1, as signer and as oracle.

What it signs verifies here; what is tampered with fails in both; where it accepts a hole, ours
refuses. It is a development dependency only.
"""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import (
    MODEL,
    Json,
    b64,
    certificate_bundle,
    key_bundle,
    model_statement,
    private_pem,
    public_pem,
    raw,
    resource,
    statement,
)
from tests.signing.chains import NOW, YEAR, Chain, Party, Request
from tests.signing.models import refusal, verify, write_model
from tests.unit.verify.test_command import run
from weighmaster.cli.verify import NOT_VERIFIED
from weighmaster.core.verify.authorities import certificate_authority, key_authority
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.core.verify.statement import Terms
from weighmaster.verifying.hashing import algorithms, hash_files
from weighmaster.verifying.tree import walk

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    hashing = pytest.importorskip("model_signing.hashing")
    signing = pytest.importorskip("model_signing.signing")
    verifying = pytest.importorskip("model_signing.verifying")

pytestmark = pytest.mark.filterwarnings("ignore")

CURVES: list[ec.EllipticCurve] = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


class Signed:
    """A model on disk, signed by the reference with a key; the signature lies beside it."""

    def __init__(self, folder: Path, curve: ec.EllipticCurve) -> None:
        self.folder = folder
        self.model = write_model(folder / "model")
        self.signature = folder / "model.sig"
        self.key = ec.generate_private_key(curve)
        (folder / "key.pem").write_bytes(private_pem(self.key))
        (folder / "public.pem").write_text(public_pem(self.key))
        self.authority = key_authority(public_pem(self.key))

    def sign(self, **options: object) -> None:
        config = signing.Config().use_elliptic_key_signer(private_key=self.folder / "key.pem")
        if options:
            config.set_hashing_config(hashing.Config().use_file_serialization(**options))
        config.sign(self.model, self.signature)

    def write(self, bundle: Json) -> None:
        self.signature.write_bytes(raw(bundle))

    def reference_accepts(self) -> bool:
        config = verifying.Config().use_elliptic_key_verifier(public_key=self.folder / "public.pem")
        try:
            config.verify(self.model, self.signature)
        except Exception:  # noqa: BLE001 - it raises whatever it meets
            return False
        return True

    def ours_accepts(self, algorithm: str = "sha256") -> bool:
        files = hash_files(walk(self.model), algorithm)
        terms = Terms(algorithms=algorithms())
        bundle = self.signature.read_bytes()
        return bool(verify(bundle, self.authority, files, terms=terms).signers)

    def ours_refuses(self) -> R:
        files = hash_files(walk(self.model))
        terms = Terms(algorithms=algorithms())
        return refusal(self.signature.read_bytes(), self.authority, files, terms=terms)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path, ec.SECP256R1())


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: str(curve.name))
def test_what_the_reference_signs_by_key_is_verified(
    tmp_path: Path, curve: ec.EllipticCurve
) -> None:
    model = Signed(tmp_path, curve)
    model.sign()
    assert model.reference_accepts()
    assert model.ours_accepts()


@pytest.mark.parametrize("algorithm", ["blake3"])
def test_what_the_reference_hashes_otherwise_is_verified(signed: Signed, algorithm: str) -> None:
    signed.sign(hashing_algorithm=algorithm)
    assert signed.reference_accepts()
    assert signed.ours_accepts(algorithm)


def test_what_needs_an_extra_says_which_where_it_is_not_installed(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed.sign(hashing_algorithm="blake3")
    monkeypatch.setitem(sys.modules, "blake3", None)
    assert algorithms() == {"sha256", "blake2b"}
    options = ("--key", signed.folder / "public.pem", "--signature", signed.signature)
    outcome = run(signed.model, *options)
    assert outcome.exit_code == NOT_VERIFIED
    assert "pip install 'weighmaster[blake3]'" in " ".join(outcome.output.split())


def test_what_the_reference_signs_with_blake2b_is_verified_though_not_by_itself(
    signed: Signed,
) -> None:
    signed.sign(hashing_algorithm="blake2")
    assert not signed.reference_accepts()
    assert signed.ours_accepts("blake2b")


def test_what_we_sign_in_tests_the_reference_verifies(signed: Signed) -> None:
    signed.write(key_bundle(model_statement(), signed.key))
    assert signed.reference_accepts()
    assert signed.ours_accepts()


def _change(model: Path) -> None:
    (model / "config.json").write_bytes(b"{}")


def _flip(model: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)


def _remove(model: Path) -> None:
    (model / "README.md").unlink()


def _rename(model: Path) -> None:
    (model / "README.md").rename(model / "README2.md")


def _swap(model: Path) -> None:
    first, second = model / "config.json", model / "README.md"
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def _add(model: Path) -> None:
    (model / "tokenizer/evil.py").write_bytes(b"evil")


@pytest.mark.parametrize("tamper", [_change, _flip, _remove, _rename, _swap, _add])
def test_a_tampered_tree_fails_in_both(signed: Signed, tamper: Callable[[Path], None]) -> None:
    signed.sign()
    tamper(signed.model)
    assert not signed.reference_accepts()
    assert signed.ours_refuses()


def test_a_tampered_bundle_fails_in_both(signed: Signed) -> None:
    signed.sign()
    bundle = json.loads(signed.signature.read_bytes())
    other = ec.generate_private_key(ec.SECP256R1())
    changes: tuple[Json, ...] = (
        {"mediaType": "application/json"},
        {"dsseEnvelope": key_bundle(model_statement(), other)["dsseEnvelope"]},
        {"dsseEnvelope": {**bundle["dsseEnvelope"], "payload": b64(b"{}")}},
        {"dsseEnvelope": {**bundle["dsseEnvelope"], "signatures": []}},
        {"verificationMaterial": {}},
    )
    for change in changes:
        signed.write({**bundle, **change})
        assert not signed.reference_accepts()
        assert signed.ours_refuses()


def _hole_hidden_by_ignore(signed: Signed) -> None:
    signed.write(key_bundle(statement([], ignore_paths=["."]), signed.key))


def _hole_added_under_ignored(signed: Signed) -> None:
    lax = model_statement(ignore_paths=["hidden", ".git", ".github"])
    signed.write(key_bundle(lax, signed.key))
    (signed.model / "hidden").mkdir()
    (signed.model / "hidden/evil.py").write_bytes(b"evil")


def _hole_code_under_github(signed: Signed) -> None:
    signed.sign()
    (signed.model / ".github").mkdir()
    (signed.model / ".github/evil.py").write_bytes(b"evil")


def _hole_duplicate_name(signed: Signed) -> None:
    resources = [resource(name, MODEL[name]) for name in sorted(MODEL)]
    signed.write(key_bundle(statement([resource("config.json", b"x"), *resources]), signed.key))


def _hole_dotted_name(signed: Signed) -> None:
    resources = [resource(f"./{name}", MODEL[name]) for name in sorted(MODEL)]
    signed.write(key_bundle(statement(resources), signed.key))


def _hole_second_signature(signed: Signed) -> None:
    signed.sign()
    bundle = json.loads(signed.signature.read_bytes())
    bundle["dsseEnvelope"]["signatures"].append({"sig": b64(b"unread"), "keyid": ""})
    signed.write(bundle)


@pytest.mark.parametrize(
    ("hole", "reason"),
    [
        (_hole_hidden_by_ignore, R.MALFORMED),
        (_hole_added_under_ignored, R.INCOMPLETE_COVERAGE),
        (_hole_code_under_github, R.INCOMPLETE_COVERAGE),
        (_hole_duplicate_name, R.UNSAFE_NAME),
        (_hole_dotted_name, R.UNSAFE_NAME),
        (_hole_second_signature, R.UNSUPPORTED),
    ],
)
def test_holes_of_the_reference_are_closed(
    signed: Signed, hole: Callable[[Signed], None], reason: R
) -> None:
    hole(signed)
    assert signed.reference_accepts(), "the reference has closed this hole; adapt the test"
    assert signed.ours_refuses() is reason


def test_a_linked_folder_added_after_signing_is_refused_though_the_reference_accepts_it(
    signed: Signed,
) -> None:
    """With links allowed, since otherwise the reference refuses links of any kind."""
    signed.write(key_bundle(model_statement(allow_symlinks=True), signed.key))
    (signed.folder / "outside").mkdir()
    (signed.folder / "outside/evil.py").write_bytes(b"evil")
    (signed.model / "link").symlink_to(signed.folder / "outside")
    with pytest.raises(Exception, match="link to a folder"):
        walk(signed.model)


def test_an_empty_file_added_to_shards_is_refused_with_the_shards(signed: Signed) -> None:
    config = signing.Config().use_elliptic_key_signer(private_key=signed.folder / "key.pem")
    config.set_hashing_config(hashing.Config().use_shard_serialization(shard_size=1000))
    config.sign(signed.model, signed.signature)
    assert signed.ours_refuses() is R.UNSUPPORTED


class Certified:
    """A model signed by the reference with a certificate, of which much may be wrong."""

    def __init__(self, folder: Path, chain: Chain) -> None:
        self.chain = chain
        self.model = write_model(folder / "model")
        self.signature = folder / "model.sig"
        self.leaf = chain.leaf()
        self.paths = {
            "key": folder / "key.pem",
            "leaf": folder / "leaf.pem",
            "intermediate": folder / "intermediate.pem",
            "root": folder / "root.pem",
        }
        self.paths["key"].write_bytes(private_pem(self.leaf.key))
        for what, party in (
            ("leaf", self.leaf),
            ("intermediate", chain.intermediate),
            ("root", chain.root),
        ):
            self.paths[what].write_text(party.pem)

    def sign(self) -> None:
        signing.Config().use_certificate_signer(
            private_key=self.paths["key"],
            signing_certificate=self.paths["leaf"],
            certificate_chain=[self.paths["intermediate"]],
        ).sign(self.model, self.signature)

    def reference_accepts(self) -> bool:
        config = verifying.Config().use_certificate_verifier(certificate_chain=[self.paths["root"]])
        try:
            config.verify(self.model, self.signature)
        except Exception:  # noqa: BLE001
            return False
        return True


def test_what_the_reference_signs_by_certificate_is_verified(tmp_path: Path) -> None:
    model = Certified(tmp_path, Chain())
    model.sign()
    assert model.reference_accepts()
    authority = certificate_authority(model.chain.root.pem, model.chain.identity)
    files = hash_files(walk(model.model))
    bundle = model.signature.read_bytes()
    assert verify(bundle, authority, files).signers
    (model.model / "config.json").write_bytes(b"{}")
    assert not model.reference_accepts()
    assert refusal(bundle, authority, hash_files(walk(model.model))) is R.MISMATCH


def test_the_reference_asks_for_no_identity_and_takes_an_expired_certificate(
    tmp_path: Path,
) -> None:
    chain = Chain()
    chain.leaf_request.since, chain.leaf_request.until = NOW - 6 * YEAR, NOW - 5 * YEAR
    chain.root, chain.intermediate = _long_lived()
    model = Certified(tmp_path, chain)
    bundle = certificate_bundle(
        model_statement(), model.leaf.key, [model.leaf.certificate, chain.intermediate.certificate]
    )
    model.signature.write_bytes(raw(bundle))
    assert model.reference_accepts(), "the reference has closed this hole; adapt the test"
    authority = certificate_authority(chain.root.pem, "https://somebody.else")
    assert refusal(bundle, authority) is R.EXPIRED
    assert refusal(bundle, authority, now=NOW - 5.5 * YEAR) is R.WRONG_IDENTITY


def _long_lived() -> tuple[Party, Party]:
    requests = [Request(each, authority=True) for each in ("Root", "Intermediate")]
    for request in requests:
        request.since = NOW - 10 * YEAR
        request.until = NOW + 10 * YEAR
    root = requests[0].issue()
    return root, requests[1].issue(root)
