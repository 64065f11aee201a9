"""What the chart makes of other projects' kinds, judged by an API server with their definitions.

The requests are dry runs: nothing acts on such objects here.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.definitions import CERT_MANAGER, PROMETHEUS_OPERATOR, Module, definitions
from tests.chart.program import CHART, Helm, Json
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.errors import ControlPlaneUnavailableError, KubectlError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

STRICT = ("create", "--dry-run=server", "--validate=strict", "--filename", "-")


@pytest.fixture(params=[CERT_MANAGER, PROMETHEUS_OPERATOR], ids=["cert-manager", "prometheus"])
def installed(
    request: pytest.FixtureRequest, control_plane: ControlPlane, tmp_path: Path
) -> Iterator[Module]:
    """A project whose definitions are in the cluster."""
    module: Module = request.param
    try:
        files = definitions(module, tmp_path)
    except ControlPlaneUnavailableError as error:
        if os.environ.get("CI", "").lower() in {"", "0", "false"}:
            pytest.skip(f"NO DEFINITIONS, SO NOT TESTED: {error}")
        pytest.fail(f"CI needs them: {error}", pytrace=False)
    named = [part for file in files for part in ("--filename", str(file))]
    control_plane.kubectl("create", *named)
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", *named)
    yield module
    control_plane.kubectl("delete", *named)


@pytest.fixture
def rendered(helm: Helm, installed: Module, namespace: str) -> list[Json]:
    """The project's resources of every case, moved into the namespace of the test."""
    group = {CERT_MANAGER: "cert-manager.io/", PROMETHEUS_OPERATOR: "monitoring.coreos.com/"}
    found = [
        each
        for case in sorted(CHART.glob("ci/*-values.yaml"))
        for each in helm.render("--values", str(case))
        if each["apiVersion"].startswith(group[installed])
    ]
    for each in found:
        each["metadata"]["namespace"] = namespace
    return found


def test_every_object_is_accepted_without_a_field_that_nobody_knows(
    control_plane: ControlPlane, installed: Module, rendered: list[Json]
) -> None:
    kinds = {each["kind"] for each in rendered}
    expected = {
        CERT_MANAGER: {"Certificate", "Issuer"},
        PROMETHEUS_OPERATOR: {"PrometheusRule", "ServiceMonitor"},
    }
    assert kinds == expected[installed]
    for each in rendered:
        control_plane.kubectl(*STRICT, stdin=json.dumps(each))


def test_a_field_that_nobody_knows_would_be_refused(
    control_plane: ControlPlane, rendered: list[Json]
) -> None:
    for each in rendered:
        wrong = {**each, "spec": {**each["spec"], "intervall": "30s"}}
        with pytest.raises(KubectlError, match="unknown field"):
            control_plane.kubectl(*STRICT, stdin=json.dumps(wrong))
