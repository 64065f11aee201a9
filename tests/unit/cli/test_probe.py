"""``weighmaster probe``: what an answer of the API server says about Weighmaster."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner, Result

from tests.unit.cluster.api_server import ApiServer
from weighmaster.cli.main import cli
from weighmaster.cli.probe import probe_pod, verdict
from weighmaster.core.detect import detect

ADMITTED = {"metadata": {"annotations": {"weighmaster.dev/decision-id": "d-1"}}}
REFUSED = {"message": 'admission webhook "validating.weighmaster.dev" denied the request: no'}
UNASKED = {"metadata": {"name": "weighmaster-probe-x"}}
SILENT = {"message": 'failed calling webhook "mutating.weighmaster.dev": no endpoints available'}
FORBIDDEN = {"message": 'pods is forbidden: User "x" cannot create resource "pods"'}
OTHERS = {"message": 'admission webhook "policy.example" denied the request: weighmaster'}


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (201, ADMITTED, "admitted (decision d-1)"),
        (403, REFUSED, "the webhook has answered: admission webhook"),
    ],
)
def test_any_decision_shows_that_it_is_asked(status: int, answer: Any, said: str) -> None:
    checked, message = verdict(status, answer)
    assert checked
    assert said in message


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (201, UNASKED, "nobody asked Weighmaster"),
        (201, {}, "nobody asked Weighmaster"),
        (500, SILENT, "the webhook does not answer"),
        (403, FORBIDDEN, "the API server gave 403: pods is forbidden"),
        (403, OTHERS, "the API server gave 403"),
        (500, {}, "the API server gave 500"),
    ],
)
def test_anything_else_does_not(status: int, answer: Any, said: str) -> None:
    checked, message = verdict(status, answer)
    assert not checked
    assert said in message


def test_pod_that_is_asked_for_serves_a_model() -> None:
    """Else the answer would bear no decision, and the test could not pass."""
    (use,) = detect(probe_pod("default"))
    assert use.reference.pinned


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    """An API server that the command finds by a kubeconfig."""
    api = ApiServer()
    await api.start()
    cluster = {"name": "c", "cluster": {"server": api.url}}
    context = {"name": "c", "context": {"cluster": "c", "user": "c"}}
    config = {
        "clusters": [cluster],
        "contexts": [context],
        "users": [{"name": "c", "user": {}}],
        "current-context": "c",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield api
    await api.stop()


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, ["probe", *arguments])


@pytest.mark.network
async def test_exit_code_tells_whether_it_is_asked(api: ApiServer) -> None:
    result = await run()
    await api.stop()
    assert (result.exit_code, "nobody asked" in result.output) == (1, True)
    gone = await run()
    assert (gone.exit_code, "POST /api/v1/namespaces/default/pods" in gone.output) == (1, True)


@pytest.mark.network
@pytest.mark.parametrize(("wait", "exit_code", "asked"), [("20", 0, 2), ("0", 1, 1)])
async def test_it_goes_on_asking_for_as_long_as_it_is_told(
    api: ApiServer, wait: str, exit_code: int, asked: int
) -> None:
    """So an installation that is not trusted yet is given time; one that never is fails."""
    times = 0

    async def silent(_: web.Request) -> web.Response:
        nonlocal times
        times += 1
        return web.json_response(SILENT, status=500)

    async def admitted(_: web.Request) -> web.Response:
        nonlocal times
        times += 1
        return web.json_response(ADMITTED, status=201)

    api.post_faults = [silent, admitted]
    assert (await run("--wait", wait)).exit_code == exit_code
    assert times == asked
