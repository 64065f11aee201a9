"""``weighmaster inspect``: evidence for people, gathered from a hub on loopback."""

import asyncio
import json

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec

from tests.hub.artifacts import modelpack
from tests.hub.fake_registry import FakeRegistry
from tests.hub.repositories import model
from tests.hub.server import Hub
from tests.signing.attesting import SCAN, about, about_files, attestation, bundled
from weighmaster.cli.main import cli


async def inspected(hub: Hub, *arguments: str) -> Result:
    options = ["--endpoint", f"hf={hub.url}", "--plain-http-host", hub.address]
    options += ["--internal-host", hub.address]
    command = ["inspect", *options, *arguments]
    environment = {"COLUMNS": "160", "HF_TOKEN": ""}
    return await asyncio.to_thread(CliRunner().invoke, cli, command, env=environment)


async def test_a_name_alone_is_a_repository_on_the_hub() -> None:
    async with Hub() as hub:
        repository = hub.add(model("acme/model"))
        result = await inspected(hub, "acme/model")
    assert result.exit_code == 0, result.output
    assert f"hf://acme/model@{repository.commit}" in result.output
    assert "Apache-2.0" in result.output
    assert "hf://acme/base" in result.output
    assert "safetensors: 2 files" in result.output


async def test_json_holds_every_file_with_how_its_digest_is_known() -> None:
    async with Hub() as hub:
        hub.add(model("acme/model"))
        result = await inspected(hub, "-o", "json", "hf://acme/model")
    found = json.loads(result.output)
    assert {file["basis"] for file in found["files"]} == {"fetched", "verified"}


async def test_attestations_are_shown_with_what_they_are_about() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    async with Hub() as hub:
        files = model("acme/model").files
        weights = "model-00001-of-00002.safetensors"
        some = about_files({weights: files[weights]})
        whole = bundled(attestation(about_files(files)), key).content
        part = bundled(attestation(some, kind="bom"), key).content
        other = bundled(attestation(about("f" * 64), kind="\x1b[31mred"), key).content
        attestations = {"whole": whole, "part": part, "other": other, "torn": b"{"}
        hub.add(model("acme/model", {
            f"attestations/{name}.sigstore.json": content for name, content in attestations.items()
        }))  # fmt: skip
        result = await inspected(hub, "acme/model")
        document = await inspected(hub, "-o", "json", "acme/model")
    said = " ".join(result.output.split())
    assert f'"{SCAN}" of this model, in attestations/whole.sigstore.json, not verified' in said
    assert '"bom" of 1 of its' in said
    assert '"?[31mred" of something else' in said
    assert "bundle in attestations/torn.sigstore.json, not verified" in said
    assert "\x1b" not in result.output
    found = json.loads(document.output)["attestations"]
    assert {each["predicateType"]: each["about"] for each in found}[SCAN] == "of this model"


async def test_model_that_is_not_there_is_said_in_one_line() -> None:
    async with Hub() as hub:
        result = await inspected(hub, "acme/nothing")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "[" in result.output


async def test_image_with_weights_in_it_can_be_inspected() -> None:
    async with FakeRegistry() as registry, Hub() as hub:
        top = modelpack(registry.contents(), {"config.json": b"{}"})
        result = await inspected(
            hub,
            *("--plain-http-host", registry.address, "--internal-host", registry.address),
            f"image-embedded:{registry.address}/acme/model:v1#/models/m",
        )
    assert result.exit_code == 0, result.output
    assert f"image-embedded:{registry.address}/acme/model@{top['digest']}" in result.output


@pytest.mark.parametrize("reference", ["just-a-word", "image-embedded:$(IMAGE)"])
def test_what_is_no_reference_is_bad_input(reference: str) -> None:
    result = CliRunner().invoke(cli, ["inspect", reference])
    assert result.exit_code == 2
