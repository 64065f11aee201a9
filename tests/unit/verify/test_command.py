"""``weighmaster verify``: exit codes, what it prints, and what it refuses to take."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import (
    certificate_bundle,
    key_bundle,
    model_statement,
    public_pem,
    raw,
    resource,
    statement,
)
from tests.signing.chains import Chain, Party, Request
from tests.signing.models import write_model
from tests.signing.sigstore_instance import SigstoreInstance
from weighmaster.cli.verify import BAD_INPUT, NOT_VERIFIED, VERIFIED, verify


@pytest.fixture
def model(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    """A model on disk with its signature in it, and the key beside it."""
    (tmp_path / "key.pem").write_text(public_pem(key))
    folder = write_model(tmp_path / "model")
    (folder / "model.sig").write_bytes(raw(key_bundle(model_statement(), key)))
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(verify, [str(each) for each in arguments])


def test_a_signed_model_is_verified_and_the_verdict_says_by_whom(model: Path) -> None:
    result = run(model, "--key", model.parent / "key.pem")
    assert result.exit_code == VERIFIED
    assert result.stdout.startswith("verified: 4 files")
    assert 'signed by key "sha256:' in result.stdout
    assert result.stderr == ""


def test_the_verdict_in_json_is_one_document(model: Path) -> None:
    result = run(model, "--key", model.parent / "key.pem", "--output", "json")
    document = json.loads(result.stdout)
    assert document["verified"] is True
    assert document["files"] == 4
    assert document["signers"][0]["method"] == "key"
    assert document["manifestDigest"].startswith("sha256:")


def test_a_tampered_model_is_not_verified_and_the_reason_is_told(model: Path) -> None:
    (model / "config.json").write_bytes(b"{}")
    text = run(model, "--key", model.parent / "key.pem")
    assert text.exit_code == NOT_VERIFIED
    assert text.stdout.startswith("NOT verified: Mismatch: 1 file")
    assert '"config.json"' in text.stdout
    document = run(model, "--key", model.parent / "key.pem", "-o", "json")
    assert document.exit_code == NOT_VERIFIED
    assert json.loads(document.stdout)["reason"] == "Mismatch"


def test_a_model_without_a_signature_is_not_signed(model: Path) -> None:
    (model / "model.sig").unlink()
    result = run(model, "--key", model.parent / "key.pem")
    assert result.exit_code == NOT_VERIFIED
    assert "NotSigned" in result.stdout


def test_the_signature_may_lie_anywhere_and_have_any_name(model: Path) -> None:
    for place in (model.parent / "elsewhere.json", model / "inside.json"):
        (model / "model.sig").rename(place)
        result = run(model, "--key", model.parent / "key.pem", "--signature", place)
        assert result.exit_code == VERIFIED
        place.rename(model / "model.sig")


def test_a_single_file_is_verified(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    (tmp_path / "key.pem").write_text(public_pem(key))
    (tmp_path / "m.gguf").write_bytes(b"w")
    for name in ("m.gguf", "."):
        signed = statement([{**resource("m.gguf", b"w"), "name": name}])
        (tmp_path / "sig").write_bytes(raw(key_bundle(signed, key)))
        arguments = (tmp_path / "m.gguf", "--key", tmp_path / "key.pem")
        assert run(*arguments, "--signature", tmp_path / "sig").exit_code == VERIFIED
        assert run(*arguments).exit_code == NOT_VERIFIED
        (tmp_path / "link.gguf").unlink(missing_ok=True)
        (tmp_path / "link.gguf").symlink_to("m.gguf")
        linked = (tmp_path / "link.gguf", "--key", tmp_path / "key.pem")
        result = run(*linked, "--signature", tmp_path / "sig")
        assert (result.exit_code == VERIFIED) == (name == ".")


def test_documentation_may_go_unsigned_with_coverage_weights(model: Path) -> None:
    (model / "NOTES.md").write_bytes(b"notes")
    arguments = (model, "--key", model.parent / "key.pem")
    assert "ExtraFiles" in run(*arguments).stdout
    assert run(*arguments, "--coverage", "weights").exit_code == VERIFIED
    assert run(*arguments, "--ignore-path", "NOTES.md").exit_code == VERIFIED


def test_a_cache_of_links_is_verified_where_they_are_to_be_followed(model: Path) -> None:
    blob = model.parent / "blob"
    (model / "config.json").rename(blob)
    (model / "config.json").symlink_to("../blob")
    arguments = (model, "--key", model.parent / "key.pem")
    assert "UnsafeTree" in run(*arguments).stdout
    assert run(*arguments, "--follow-symlinks").exit_code == VERIFIED


def test_a_certificate_is_verified_by_roots_and_identity(model: Path) -> None:
    chain = Chain()
    # The command reads the clock, so the chain is valid for longer than the tests will be run.
    chain.leaf_request.until = chain.leaf_request.until.replace(year=2099)
    chain.root, chain.intermediate = _lasting()
    leaf = chain.leaf()
    bundle = certificate_bundle(
        model_statement(), leaf.key, [leaf.certificate, chain.intermediate.certificate]
    )
    (model / "model.sig").write_bytes(raw(bundle))
    (model.parent / "roots.pem").write_text(chain.root.pem)
    arguments = (model, "--certificate-roots", model.parent / "roots.pem")
    assert run(*arguments, "--identity", chain.identity).exit_code == VERIFIED
    assert "WrongIdentity" in run(*arguments, "--identity", "somebody").stdout
    assert run(*arguments).exit_code == BAD_INPUT


def _lasting() -> tuple[Party, Party]:
    requests = [Request(each, authority=True) for each in ("Root", "Intermediate")]
    for request in requests:
        request.until = request.until.replace(year=2099)
    root = requests[0].issue()
    return root, requests[1].issue(root)


def test_a_keyless_signature_is_verified_by_issuer_and_identity(model: Path) -> None:
    instance = SigstoreInstance()
    at = instance.root.certificate.not_valid_before_utc.replace(year=2026)
    bundle = instance.sign(model_statement(), x509.RFC822Name("a@b.example"), "https://i", at)
    (model / "model.sig").write_bytes(raw(bundle))
    (model.parent / "root.json").write_bytes(instance.trusted_root())
    trusted = ("--trusted-root", model.parent / "root.json")
    for issuer in ("--issuer", "--identity-provider"):
        arguments = (model, issuer, "https://i")
        assert run(*arguments, "--identity", "a@b.example", *trusted).exit_code == VERIFIED
    assert run(*arguments, "--identity-pattern", "^.*@b.example$", *trusted).exit_code == VERIFIED
    assert "WrongIdentity" in run(*arguments, "--identity", "x@b.example", *trusted).stdout
    assert "UntrustedRoot" in run(*arguments, "--identity", "a@b.example").stdout


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--key", "KEY", "--identity-provider", "https://i"],
        ["--key", "KEY", "--identity", "a"],
        ["--key", "MODEL/config.json"],
        ["--key", "MISSING"],
        ["--certificate-roots", "KEY", "--identity", "a"],
        ["--identity", "a"],
        ["--identity-provider", "https://i"],
        ["--identity-provider", "https://i", "--identity-pattern", "a.*"],
        ["--identity-provider", "https://i", "--identity", "a", "--trusted-root", "KEY"],
        ["--key", "KEY", "--signature", "MISSING"],
        ["--key", "KEY", "--coverage", "some"],
    ],
)
def test_options_that_cannot_be_used_are_bad_input(model: Path, options: list[str]) -> None:
    places = {"KEY": str(model.parent / "key.pem"), "MODEL": str(model)}
    for word, place in places.items():
        options = [option.replace(word, place) for option in options]
    result = run(model, *options)
    assert result.exit_code == BAD_INPUT
    assert "Traceback" not in result.output


def test_a_folder_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    assert run(tmp_path / "none", "--key", tmp_path).exit_code == BAD_INPUT


def test_a_file_too_many_or_too_few_is_refused_before_anything_is_read(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_arguments: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr("weighmaster.verifying.directory.hash_files", read)
    (model / "extra.bin").write_bytes(b"")
    assert "IncompleteCoverage" in run(model, "--key", model.parent / "key.pem").stdout
    (model / "extra.bin").unlink()
    (model / "config.json").unlink()
    assert "MissingFiles" in run(model, "--key", model.parent / "key.pem").stdout


def test_what_was_not_signed_is_not_read(model: Path) -> None:
    """A clone's object store is as big as the weights."""
    (model / ".git").mkdir()
    (model / ".git/object").write_bytes(b"")
    (model / ".git/object").chmod(0)
    result = run(model, "--key", model.parent / "key.pem", "-o", "json")
    assert result.exit_code == VERIFIED
    assert json.loads(result.stdout)["unsignedFiles"] == 1


def test_a_link_to_the_signature_is_not_the_signature(model: Path) -> None:
    (model / "evil.py").symlink_to("model.sig")
    result = run(model, "--key", model.parent / "key.pem")
    assert "IncompleteCoverage" in result.stdout


def test_progress_is_shown_on_a_terminal_only(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from weighmaster.cli import verify as _  # noqa: F401, PLC0415

    module = sys.modules["weighmaster.cli.verify"]
    with module._progress("text") as silent:
        silent(1, 100)
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    with module._progress("text") as shown:
        shown(100, 100)


def test_progress_is_passed_on_in_steps_and_none_of_it_lost() -> None:
    module = sys.modules["weighmaster.cli.verify"]
    seen: list[int] = []
    gathered = module._Gathered(lambda count, _total: seen.append(count))
    for _ in range(100):
        gathered(1024 * 1024, 0)
    assert seen == [32 * 1024 * 1024] * 3


def test_help_explains_itself() -> None:
    result = run("--help")
    assert "Exit codes: 0 verified" in result.stdout
    assert "  weighmaster verify ./model --key publisher.pem\n" in result.stdout
