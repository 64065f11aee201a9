"""Verification of mounted weights: what is accepted, and everything that is not."""

import base64
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import MODEL, key_bundle, model_statement, public_pem, raw
from tests.signing.chains import NOW
from tests.signing.models import write_model
from weighmaster.api.v1alpha1.rules import Coverage
from weighmaster.core.mounted import Expectation, Result, Signatures, Signer, Verdict
from weighmaster.core.verify.loadable import fingerprints, loadable_digest
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.verifying import mounted
from weighmaster.verifying.hashing import Hashing
from weighmaster.verifying.mounted import Work, verify_expectations

REFERENCE = "hf://acme/m@0123456789abcdef0123456789abcdef01234567"
SHARDS = {
    "config.json": b"{}",
    "model-00001-of-00002.safetensors": b"one" * 100,
    "model-00002-of-00002.safetensors": b"two" * 100,
    "README.md": b"# A model",
    ".gitattributes": b"*.safetensors filter=lfs",
}


def digests(model: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in model.items()}


def expected(model: dict[str, bytes], **fields: object) -> Expectation:
    """The expectation that a hub's list of files gives."""
    whole: dict[str, object] = {
        "digest": loadable_digest(digests(model)),
        "fingerprints": fingerprints(digests(model)),
        **fields,
    }
    return Expectation(reference=REFERENCE, mount="0", **whole)  # type: ignore[arg-type]


class Volume:
    """A volume with a model in it, as the container sees it."""

    def __init__(self, mounts: Path) -> None:
        self.mounts = mounts
        self.top = mounts / "0"
        self.model = self.top / "llama"

    def verify(self, *expectations: Expectation, **work: object) -> Verdict:
        settings = {"mounts": self.mounts, "now": NOW, "hashing": Hashing(2), **work}
        return verify_expectations(expectations, Work(**settings))  # type: ignore[arg-type]

    def reason(self, expectation: Expectation, **work: object) -> R:
        verdict = self.verify(expectation, **work)
        assert verdict.result is Result.REFUSED, verdict
        assert verdict.message
        assert verdict.reference == expectation.reference
        return R(verdict.reason)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    found = Volume(tmp_path / "weights")
    write_model(found.model, SHARDS)
    return found


WHOLE = expected(SHARDS, path="llama")


# By digest.


def test_a_model_as_its_hub_lists_it_is_verified(volume: Volume) -> None:
    verdict = volume.verify(WHOLE)
    assert verdict.result is Result.VERIFIED
    (weighed,) = verdict.verified
    assert weighed.digest == WHOLE.digest
    assert weighed.files == 3
    assert weighed.bytes == 602


def test_what_servers_do_not_load_may_differ_lack_or_be_there(volume: Volume) -> None:
    (volume.model / "README.md").write_text("# Ours")
    (volume.model / ".gitattributes").unlink()
    (volume.model / "NOTES.md").write_text("more")
    (volume.model / "model.sig").write_text("{}")
    metadata = volume.model / ".cache/huggingface/download"
    metadata.mkdir(parents=True)
    (metadata / "config.json.metadata").write_text("etag")
    assert volume.verify(WHOLE).result is Result.VERIFIED


@pytest.mark.parametrize("name", [name for name in SHARDS if not name.startswith((".", "README"))])
@pytest.mark.parametrize("fingerprinted", [True, False])
def test_a_changed_byte_in_any_file_is_refused_and_the_file_is_named(
    volume: Volume, name: str, fingerprinted: bool
) -> None:
    content = bytearray(SHARDS[name])
    content[-1] ^= 1
    (volume.model / name).write_bytes(content)
    whole = WHOLE if fingerprinted else expected(SHARDS, path="llama", fingerprints="")
    verdict = volume.verify(whole)
    assert (verdict.result, verdict.reason) == (Result.REFUSED, R.MISMATCH)
    assert (name in verdict.message) is fingerprinted
    assert verdict.files == ((name,) if fingerprinted else ())


@pytest.mark.parametrize(
    "name", ["more.safetensors", "modeling.py", "chat_template.jinja", "nothing", "a/b/c.bin"]
)
def test_an_extra_file_that_may_be_loaded_is_refused_and_named(volume: Volume, name: str) -> None:
    write_model(volume.model, {name: b""})
    verdict = volume.verify(WHOLE)
    assert (verdict.reason, verdict.files) == (R.MISMATCH, (name,))


def test_a_missing_file_is_refused_and_counted(volume: Volume) -> None:
    (volume.model / "config.json").unlink()
    verdict = volume.verify(WHOLE)
    assert verdict.reason == R.MISSING_FILES
    assert "1 of the 3 files" in verdict.message


def test_files_that_have_swapped_names_are_refused(volume: Volume) -> None:
    one, two = (volume.model / f"model-0000{n}-of-00002.safetensors" for n in (1, 2))
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    verdict = volume.verify(WHOLE)
    assert (verdict.reason, len(verdict.files)) == (R.MISMATCH, 2)


def test_forged_fingerprints_accept_nothing_that_the_digest_does_not(volume: Volume) -> None:
    changed = {**SHARDS, "config.json": b"[]"}
    write_model(volume.model, changed)
    forged = expected(SHARDS, path="llama", fingerprints=fingerprints(digests(changed)))
    assert volume.reason(forged) is R.MISSING_FILES


def test_an_empty_or_absent_folder_is_refused(volume: Volume) -> None:
    (volume.top / "empty").mkdir()
    assert volume.reason(expected(SHARDS, path="empty")) is R.MISSING_FILES
    assert volume.reason(expected(SHARDS, path="none")) is R.MISSING_FILES
    assert volume.reason(expected({}, path="empty")) is R.MISSING_FILES


def test_an_expectation_of_nothing_is_refused(volume: Volume) -> None:
    nothing = Expectation(reference=REFERENCE, mount="0", path="llama")
    assert volume.reason(nothing) is R.NOT_SIGNED


def test_the_first_place_that_is_not_as_expected_ends_it(volume: Volume) -> None:
    write_model(volume.top / "other", SHARDS)
    (volume.top / "other/config.json").write_bytes(b"[]")
    other = expected(SHARDS, path="other", store="pvc://models/other")
    verdict = volume.verify(WHOLE, other, WHOLE)
    assert verdict.result is Result.REFUSED
    assert len(verdict.verified) == 1
    assert verdict.store == "pvc://models/other"
    assert volume.verify(WHOLE, WHOLE).result is Result.VERIFIED


# Layouts.


def test_a_snapshot_in_a_hubs_cache_is_verified_through_its_links(volume: Volume) -> None:
    repository = volume.top / "hub/models--acme--m"
    blobs, snapshot = repository / "blobs", repository / "snapshots/0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for name, content in SHARDS.items():
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{digest}")
    cached = expected(SHARDS, path="hub/models--acme--m/snapshots/0123")
    assert volume.verify(cached).result is Result.VERIFIED
    victim = blobs / hashlib.sha256(SHARDS["config.json"]).hexdigest()
    victim.write_bytes(b"[]")
    verdict = volume.verify(cached)
    assert (verdict.reason, verdict.files) == (R.MISMATCH, ("config.json",))


def test_a_link_to_the_models_folder_is_followed_inside_the_volume(volume: Volume) -> None:
    (volume.top / "current").symlink_to("llama")
    (volume.top / "deep").mkdir()
    (volume.top / "deep/current").symlink_to("../current")
    assert volume.verify(expected(SHARDS, path="current")).result is Result.VERIFIED
    assert volume.verify(expected(SHARDS, path="deep/current")).result is Result.VERIFIED


@pytest.mark.parametrize(
    "target",
    [
        "../../0/llama/config.json",  # out and in again: elsewhere for the server
        "../../../etc/hostname",
        "/etc/hostname",
        "absolute",
        "../llama/loop",
        "tokenizer",
    ],
)
def test_a_link_that_the_server_would_follow_elsewhere_is_refused(
    volume: Volume, target: str
) -> None:
    (volume.model / "tokenizer").mkdir()
    (volume.model / "loop").symlink_to(
        volume.model / "config.json" if target == "absolute" else target
    )
    assert volume.reason(WHOLE) is R.UNSAFE_TREE


def test_a_folder_that_is_a_link_out_of_the_volume_is_refused(
    volume: Volume, tmp_path: Path
) -> None:
    write_model(tmp_path / "outside", SHARDS)
    (volume.top / "out").symlink_to("../../outside")
    (volume.top / "absolute").symlink_to(volume.model)
    assert volume.reason(expected(SHARDS, path="out")) is R.UNSAFE_TREE
    assert volume.reason(expected(SHARDS, path="absolute")) is R.UNSAFE_TREE


def test_a_link_in_the_middle_of_a_path_counts_like_one_at_its_end(
    volume: Volume, tmp_path: Path
) -> None:
    write_model(tmp_path / "outside/m", SHARDS)
    (volume.top / "out").symlink_to(tmp_path / "outside")
    (volume.model / "linked.json").symlink_to("../out/m/config.json")
    assert volume.reason(expected(SHARDS, path="out/m")) is R.UNSAFE_TREE
    assert volume.reason(WHOLE) is R.UNSAFE_TREE


def test_a_link_to_where_the_server_has_another_mount_is_refused(volume: Volume) -> None:
    (volume.top / "blobs").mkdir()
    (volume.model / "config.json").rename(volume.top / "blobs/config")
    (volume.model / "config.json").symlink_to("../blobs/config")
    assert volume.verify(WHOLE).result is Result.VERIFIED
    for hidden in ("blobs", "blobs/config"):
        assert volume.reason(expected(SHARDS, path="llama", hidden=(hidden,))) is R.UNSAFE_TREE
    other = expected(SHARDS, path="llama", hidden=("blob", "blobs/conf", "llama2"))
    assert volume.verify(other).result is Result.VERIFIED


def test_a_path_with_dots_stays_inside_the_volume(volume: Volume) -> None:
    assert volume.reason(expected(SHARDS, path="../0/llama")) is R.UNSAFE_TREE
    assert volume.verify(expected(SHARDS, path="./llama//")).result is Result.VERIFIED


def test_a_model_at_the_top_of_a_volume_may_lie_beside_lost_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(tmp_path)
    write_model(volume.top, SHARDS)
    found = volume.top / "lost+found"
    found.mkdir()
    top = expected(SHARDS)
    assert volume.verify(top).result is Result.VERIFIED
    (found / "#12345").write_bytes(b"an orphan")
    assert volume.reason(top) is R.MISMATCH
    # Nobody but root may look into it; we are not root where this runs.
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != found)
    assert volume.verify(top).result is Result.VERIFIED
    (volume.top / "sub").mkdir()
    found.rename(volume.top / "sub/lost+found")
    assert volume.reason(top) is R.MISMATCH


# What is no model.


def test_a_pipe_a_socket_or_a_device_is_refused(volume: Volume) -> None:
    os.mkfifo(volume.model / "pipe")
    assert volume.reason(WHOLE) is R.UNSAFE_TREE
    (volume.model / "pipe").unlink()
    if os.geteuid() == 0:
        os.mknod(volume.model / "null", 0o020666, os.makedev(1, 3))
        assert volume.reason(WHOLE) is R.UNSAFE_TREE


def test_a_file_that_may_not_be_read_is_refused(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refuse(path: Path, flags: int) -> int:
        if Path(path).name == "config.json":
            raise PermissionError
        return opened(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    verdict = volume.verify(WHOLE)
    assert (verdict.reason, verdict.files) == (R.UNREADABLE, ("config.json",))


def _disturb(action: Callable[[], object]) -> Hashing:
    done: list[object] = []

    def progress(_count: int, _total: int) -> None:
        if not done:
            done.append(action())

    return Hashing(1, progress)


def _rewrite(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize(
    "action",
    [
        lambda model: _rewrite(model / "config.json"),
        lambda model: _rewrite(model / "model-00001-of-00002.safetensors"),
        lambda model: os.utime(model / "config.json", ns=(0, 0)),
        lambda model: (model / "evil.py").write_bytes(b"evil"),
        lambda model: (model / "NOTES.md").write_bytes(b"new"),
        lambda model: (model / "README.md").unlink(),
    ],
)
def test_whatever_changes_while_it_is_read_is_noticed(
    volume: Volume, action: Callable[[Path], object]
) -> None:
    disturbed = _disturb(lambda: action(volume.model))
    assert volume.reason(WHOLE, hashing=disturbed) is R.CHANGED_WHILE_READING


def test_a_file_changed_after_its_turn_and_before_the_end_is_noticed(volume: Volume) -> None:
    seen: list[int] = []

    def progress(_count: int, _total: int) -> None:
        seen.append(1)
        if len(seen) == 3:  # the last of three files; the first has been read long since
            (volume.model / "model-00001-of-00002.safetensors").write_bytes(b"evil" * 75)

    assert volume.reason(WHOLE, hashing=Hashing(1, progress)) is R.CHANGED_WHILE_READING


# Single files.

GGUF = {
    "m-Q4-00001-of-00002.gguf": b"GGUF one",
    "m-Q4-00002-of-00002.gguf": b"GGUF two",
    "m-Q8.gguf": b"GGUF eight",
    "sub/m.gguf": b"GGUF sub",
}


def test_one_file_of_a_model_is_enough_where_one_is_loaded(volume: Volume) -> None:
    write_model(volume.top / "gguf", {"m-Q8.gguf": GGUF["m-Q8.gguf"], "foreign.bin": b"x"})
    one = expected(GGUF, path="gguf", file="m-Q8.gguf")
    verdict = volume.verify(one)
    assert verdict.result is Result.VERIFIED
    assert verdict.verified[0].files == 1
    (volume.top / "gguf/m-Q8.gguf").write_bytes(b"GGUF other")
    verdict = volume.verify(one)
    assert (verdict.reason, verdict.files) == (R.MISMATCH, ("m-Q8.gguf",))


def test_a_file_in_a_folder_of_the_model_keeps_its_whole_name(volume: Volume) -> None:
    write_model(volume.top / "gguf", {"sub/m.gguf": GGUF["sub/m.gguf"]})
    assert volume.verify(expected(GGUF, path="gguf", file="sub/m.gguf")).result is Result.VERIFIED
    (volume.top / "gguf/m.gguf").write_bytes(GGUF["sub/m.gguf"])
    assert volume.reason(expected(GGUF, path="gguf", file="m.gguf")) is R.MISMATCH


def test_all_parts_of_a_split_file_are_verified(volume: Volume) -> None:
    split = expected(GGUF, path="gguf", file="m-Q4-00001-of-00002.gguf")
    write_model(volume.top / "gguf", {name: GGUF[name] for name in list(GGUF)[:2]})
    assert volume.verify(split).verified[0].files == 2
    (volume.top / "gguf/m-Q4-00002-of-00002.gguf").write_bytes(b"GGUF evil")
    verdict = volume.verify(split)
    assert (verdict.reason, verdict.files) == (R.MISMATCH, ("m-Q4-00002-of-00002.gguf",))
    write_model(volume.top / "gguf", {"m-Q4-00003-of-00003.gguf": b"GGUF three"})
    assert volume.reason(split) is R.MISMATCH


def test_a_file_that_is_not_there_or_is_none_is_refused(volume: Volume) -> None:
    one = expected(GGUF, path="gguf", file="m-Q8.gguf")
    assert volume.reason(one) is R.MISSING_FILES
    (volume.top / "gguf/m-Q8.gguf").mkdir(parents=True)
    assert volume.reason(one) in (R.MISSING_FILES, R.UNSAFE_TREE)
    write_model(volume.top / "gguf/m-Q8.gguf", {"x.bin": b""})
    assert volume.reason(one) is R.UNSAFE_TREE


def test_a_file_cannot_be_told_from_others_without_fingerprints(volume: Volume) -> None:
    write_model(volume.top / "gguf", GGUF)
    one = expected(GGUF, path="gguf", file="m-Q8.gguf", fingerprints="")
    assert volume.verify(one).result is Result.FAILED


# Signatures beside the weights.


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


def test_fingerprints_that_cannot_be_read_verify_nothing(volume: Volume) -> None:
    broken = expected(SHARDS, path="llama", fingerprints=base64.b64encode(b"x").decode())
    assert volume.verify(broken).result is Result.FAILED


def test_a_bundle_is_no_link_out_of_the_volume(
    volume: Volume, signed: Path, key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    (tmp_path / "outside.sig").write_bytes((signed / "model.sig").read_bytes())
    (signed / "model.sig").unlink()
    (signed / "model.sig").symlink_to(tmp_path / "outside.sig")
    assert volume.reason(by_signature(signed_by(key))) is R.UNSAFE_TREE


def test_time_is_counted(volume: Volume) -> None:
    ticks = iter(range(100))
    verdict = volume.verify(WHOLE, clock=lambda: float(next(ticks)))
    assert verdict.seconds > verdict.verified[0].seconds > 0
    assert mounted.Work(mounts=volume.mounts, now=datetime.now(UTC)).clock() > 0
