"""``weighmaster inspect``: evidence for people, gathered from a hub on loopback."""

import asyncio
import json

from click.testing import CliRunner, Result

from tests.hub.repositories import model
from tests.hub.server import Hub
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


async def test_model_that_is_not_there_is_said_in_one_line() -> None:
    async with Hub() as hub:
        result = await inspected(hub, "acme/nothing")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "[" in result.output


def test_what_is_no_reference_is_bad_input() -> None:
    result = CliRunner().invoke(cli, ["inspect", "just-a-word"])
    assert result.exit_code == 2
