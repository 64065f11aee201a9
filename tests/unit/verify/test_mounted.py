"""Verification of mounted weights by digest: what is accepted, and everything that is not."""

import base64
from datetime import UTC, datetime

import pytest

from tests.signing.models import write_model
from tests.unit.verify.volumes import REFERENCE, SHARDS, WHOLE, Volume, digests, expected
from weighmaster.core.mounted import Expectation, Result
from weighmaster.core.verify.loadable import fingerprints
from weighmaster.core.verify.reasons import VerificationReason as R
from weighmaster.verifying import mounted


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


def test_fingerprints_that_cannot_be_read_verify_nothing(volume: Volume) -> None:
    broken = expected(SHARDS, path="llama", fingerprints=base64.b64encode(b"x").decode())
    assert volume.verify(broken).result is Result.FAILED


def test_time_is_counted(volume: Volume) -> None:
    ticks = iter(range(100))
    verdict = volume.verify(WHOLE, clock=lambda: float(next(ticks)))
    assert verdict.seconds > verdict.verified[0].seconds > 0
    assert mounted.Work(mounts=volume.mounts, now=datetime.now(UTC)).clock() > 0


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
