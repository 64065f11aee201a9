"""Downloading models: what is asked for, and what is served in the end."""

import ssl
from pathlib import Path

import pytest
from msgspec import structs

from tests.certificates import write_certificate
from tests.hub.repositories import model
from tests.hub.server import Hub
from tests.unit.staging.conftest import Staged, download, downloads_of, hub_of, weights
from weighmaster.core import staged
from weighmaster.core.mounted import Result
from weighmaster.staging.volume import HIDDEN


async def test_a_model_is_served_whole_and_under_its_name(staging: Staged) -> None:
    verdict = await staging.run()
    assert verdict.result is Result.VERIFIED, verdict
    assert staging.files() == staging.wanted()
    assert not (staging.volume / HIDDEN).exists()
    (weighed,) = verdict.verified
    assert weighed.digest == download(staging.repository).digest
    assert weighed.files == len(staging.wanted())
    assert weighed.bytes == sum(map(len, staging.wanted().values())) == sum(staging.told)


async def test_what_no_server_loads_is_not_downloaded(staging: Staged) -> None:
    await staging.run()
    assert "README.md" not in staging.files()
    assert not downloads_of(staging.hub, "README.md")


async def test_files_can_be_read_by_the_servers_user(staging: Staged) -> None:
    await staging.run()
    for path in [staging.served, *staging.served.rglob("*")]:
        assert path.stat().st_mode & (0o555 if path.is_dir() else 0o444)
        assert not path.stat().st_mode & 0o022


async def test_the_commit_is_asked_for_and_nothing_else(staging: Staged) -> None:
    await staging.run()
    commit = staging.repository.commit
    assert all(commit in seen.path for seen in staging.hub.seen)


async def test_an_empty_file_is_a_file(staging: Staged) -> None:
    staging.repository.files |= {"__init__.py": b"", "empty.safetensors": b""}
    staging.repository.lfs.add("empty.safetensors")
    assert (await staging.run()).result is Result.VERIFIED
    assert staging.files()["__init__.py"] == b""
    assert staging.files()["empty.safetensors"] == b""


async def test_files_in_folders_lie_in_folders(staging: Staged) -> None:
    staging.repository.files |= {"onnx/a/b.json": b"{}", "onnx/a/c.bin": weights(3_000_000)}
    staging.repository.lfs.add("onnx/a/c.bin")
    assert (await staging.run()).result is Result.VERIFIED
    assert staging.files() == staging.wanted()


async def test_several_models_each_have_their_place(staging: Staged) -> None:
    adapter = staging.hub.add(model("acme/adapter", {"adapter_config.json": b"{}"}))
    verdict = await staging.run(
        download(staging.repository), download(adapter, folder="1/acme/adapter")
    )
    assert verdict.result is Result.VERIFIED
    assert len(verdict.verified) == 2
    assert (staging.volume / "1/acme/adapter/adapter_config.json").read_bytes() == b"{}"
    assert not (staging.served / "adapter_config.json").exists()


async def test_the_first_model_that_is_refused_ends_it(staging: Staged) -> None:
    bad = download(staging.repository, folder="0/bad", digest=f"sha256:{'0' * 64}")
    verdict = await staging.run(bad, download(staging.repository, folder="1/good"))
    assert verdict.result is Result.REFUSED
    assert verdict.reference == bad.reference
    assert not (staging.volume / "1").exists()
    assert len(verdict.verified) == 0


async def test_weights_come_from_another_host_that_is_not_given_the_token(
    staging: Staged, cdn: Hub
) -> None:
    staging.hub.cdn = f"http://cdn.test:{cdn.port}"
    staging.hub.token, staging.repository.gated = "hf_secret", True
    cdn.add(staging.repository)
    cdn.token = "nobody is asked for it there"
    verdict = await staging.run(hub=hub_of(staging.hub, cdn), token=" hf_secret\n")
    assert verdict.result is Result.VERIFIED, verdict
    assert staging.files() == staging.wanted()
    assert {seen.headers.get("Authorization") for seen in staging.hub.seen} == {"Bearer hf_secret"}
    assert cdn.seen
    assert not [seen for seen in cdn.seen if "Authorization" in seen.headers]


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_gated_model_without_its_token_fails_and_says_so(
    staging: Staged, token: str
) -> None:
    staging.hub.token, staging.repository.gated = "right", True
    verdict = await staging.refused(token=token)
    assert (verdict.result, verdict.reason) == (Result.FAILED, "Unauthorized")
    assert "wrong" not in verdict.message


async def test_a_token_that_cannot_be_sent_fails_and_is_not_shown(staging: Staged) -> None:
    verdict = await staging.refused(token="secret\r\nHost: evil.test")
    assert verdict.result is Result.FAILED
    assert "HF_TOKEN" in verdict.message
    assert "secret" not in verdict.message
    assert not staging.hub.seen


async def test_a_commit_that_is_not_there_fails(staging: Staged) -> None:
    gone = download(staging.repository, reference=f"hf://acme/model@{'0' * 40}")
    verdict = await staging.refused(gone)
    assert (verdict.result, verdict.reason) == (Result.FAILED, "NotFound")


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_mirror_by_a_company_certificate_is_trusted_if_pods_are_handed_it(
    staging: Staged, tmp_path: Path, trusted: bool
) -> None:
    write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    async with Hub(tls=context) as mirror:
        mirror.add(staging.repository)
        told = hub_of(mirror, plain_http_hosts=())
        if trusted:
            told = structs.replace(told, ca=(tmp_path / "tls.crt").read_text())
        verdict = await staging.run(hub=told)
    assert (verdict.result, verdict.reason) == (
        (Result.VERIFIED, "") if trusted else (Result.FAILED, "Unreachable")
    )


@pytest.mark.parametrize(
    "told",
    [
        staged.Hub(endpoints={"hf": "http://hub.example"}),
        staged.Hub(endpoints={"hf": "not a URL"}),
        staged.Hub(ca="none"),
    ],
)
async def test_a_hub_that_cannot_be_used_fails_and_says_so(
    staging: Staged, told: staged.Hub
) -> None:
    verdict = await staging.refused(hub=told)
    assert (verdict.result, verdict.reason) == (Result.FAILED, "Malformed")
    assert verdict.message
