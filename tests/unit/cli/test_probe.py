"""``weighmaster probe``: what an answer of the API server says about Weighmaster."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

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


@pytest.mark.network
async def test_exit_code_tells_whether_it_is_asked(tmp_path: Path) -> None:
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
    environment = {"KUBECONFIG": str(tmp_path / "kubeconfig")}
    try:
        result = await asyncio.to_thread(CliRunner().invoke, cli, ["probe"], env=environment)
    finally:
        await api.stop()
    assert (result.exit_code, "nobody asked" in result.output) == (1, True)
    gone = await asyncio.to_thread(CliRunner().invoke, cli, ["probe"], env=environment)
    assert (gone.exit_code, "POST /api/v1/namespaces/default/pods" in gone.output) == (1, True)
