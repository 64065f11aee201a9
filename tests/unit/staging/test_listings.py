"""Downloading models: what is refused before any weights are fetched."""

import pytest

from tests.unit.staging.conftest import (
    OTHER,
    WEIGHTS,
    Staged,
    assert_refused,
    download,
    downloads_of,
    weights,
)
from weighmaster.core.mounted import Result
from weighmaster.core.verify.reasons import VerificationReason
from weighmaster.staging import volume


async def test_another_file_in_the_listing_is_refused_before_any_is_fetched(
    staging: Staged,
) -> None:
    staging.decide()
    staging.repository.revisions["then"] = staging.repository.commit
    staging.repository.files[WEIGHTS] = weights(100)
    verdict = await staging.refused()
    assert_refused(verdict, VerificationReason.MISMATCH, WEIGHTS)
    assert WEIGHTS in verdict.message
    assert not staging.hub.requests("/resolve/")


async def test_another_small_file_is_refused_before_any_weights_are_fetched(
    staging: Staged,
) -> None:
    staging.decide()
    staging.repository.revisions["then"] = staging.repository.commit
    staging.repository.files["config.json"] = b'{"auto_map": {"AutoModel": "evil.Model"}}'
    verdict = await staging.refused()
    assert_refused(verdict, VerificationReason.MISMATCH, "config.json")
    assert not downloads_of(staging.hub, ".safetensors")


@pytest.mark.parametrize("name", ["evil.py", "model-00003-of-00002.safetensors"])
async def test_a_file_too_many_is_refused(staging: Staged, name: str) -> None:
    staging.decide()
    staging.repository.revisions["then"] = staging.repository.commit
    staging.repository.files[name] = b"import os"
    if name.endswith(".safetensors"):
        staging.repository.lfs.add(name)
    assert_refused(await staging.refused(), VerificationReason.MISMATCH, name)
    assert not downloads_of(staging.hub, WEIGHTS)


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
async def test_a_file_too_few_is_refused(staging: Staged, name: str) -> None:
    staging.decide()
    staging.repository.revisions["then"] = staging.repository.commit
    del staging.repository.files[name]
    assert_refused(await staging.refused(), VerificationReason.MISSING_FILES)
    assert not downloads_of(staging.hub, OTHER)


async def test_a_model_without_fingerprints_is_compared_as_a_whole(staging: Staged) -> None:
    right = download(staging.repository, fingerprints="")
    wrong = download(staging.repository, fingerprints="", digest=f"sha256:{'0' * 64}")
    assert_refused(await staging.refused(wrong), VerificationReason.MISMATCH)
    assert not downloads_of(staging.hub, ".safetensors")
    assert (await staging.run(right)).result is Result.VERIFIED


async def test_a_repository_without_a_file_to_load_is_refused(staging: Staged) -> None:
    staging.repository.files = {"README.md": b"soon"}
    verdict = await staging.refused()
    assert_refused(verdict, VerificationReason.MISSING_FILES)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../../evil", "a//b", "./a", "a\\b", "a\nb", "a/\x00"]
)
async def test_names_that_lead_elsewhere_are_refused(staging: Staged, name: str) -> None:
    staging.repository.files[name] = b"evil"
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "HostileAnswer")
    assert not staging.hub.requests("/resolve/")


async def test_a_name_that_is_a_file_and_a_folder_is_refused(staging: Staged) -> None:
    staging.repository.files |= {"a": b"1", "a/b/c": b"2"}
    assert_refused(await staging.refused(), VerificationReason.UNSAFE_NAME, "a")
    assert not staging.hub.requests("/resolve/")


async def test_a_name_that_no_disk_takes_fails(staging: Staged) -> None:
    staging.repository.files["a" * 300] = b"1"
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "VolumeUnusable")
    assert "name too long" in verdict.message


async def test_large_files_of_which_no_digest_was_ever_known_are_refused(staging: Staged) -> None:
    staging.repository.files["big.py"] = bytes(13 * 1024 * 1024)
    assert_refused(await staging.refused(), VerificationReason.TOO_LARGE)
    assert not staging.hub.requests("/resolve/")


async def test_a_model_that_the_volume_has_no_room_for_fails_before_it_is_fetched(
    staging: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume.Place, "room", lambda _place: 300)
    verdict = await staging.refused()
    assert (verdict.result, verdict.reason) == (Result.FAILED, "VolumeFull")
    assert "room for 0.00 GB" in verdict.message
    assert not staging.hub.requests("/resolve/")
