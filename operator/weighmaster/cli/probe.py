"""``weighmaster probe``: does the API server ask Weighmaster? What ``helm test`` runs."""

import asyncio
import time
from typing import Any

import click

from weighmaster.cluster.client import ApiClient
from weighmaster.core.respond import DECISION_ANNOTATION
from weighmaster.errors import ClusterError

Json = dict[str, Any]

NOT_CHECKED = 1
"""Exit code when it was not asked, or could not answer."""

ASK_EVERY = 1.0
"""Seconds between two tries."""


def probe_pod(namespace: str) -> Json:
    """A pod that would serve a model and fits the restricted Pod Security Standard."""
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "probe",
        "image": "vllm/vllm-openai",
        "args": ["--model", "weighmaster/probe", "--revision", "0" * 40],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        "securityContext": security,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "weighmaster-probe-", "namespace": namespace},
        "spec": {"containers": [container], "restartPolicy": "Never"},
    }


def verdict(status: int, answer: Json) -> tuple[bool, str]:
    """Whether Weighmaster has been asked about the pod, and what to say about it."""
    message = str(answer.get("message") or "")
    annotations = (answer.get("metadata") or {}).get("annotations") or {}
    if status < 300:
        if decision := annotations.get(DECISION_ANNOTATION):
            return True, f"the webhook has answered: the pod is admitted (decision {decision})"
        return False, (
            "the pod was admitted and nobody asked Weighmaster: is the namespace exempt, and are"
            " the webhook configurations there?"
        )
    if "weighmaster.dev" in message and "denied the request" in message:
        return True, f"the webhook has answered: {message}"
    if "failed calling webhook" in message:
        return False, f"the webhook does not answer: {message}"
    return False, f"the API server gave {status}: {message}"


@click.command()
@click.option(
    "--namespace",
    default="default",
    show_default=True,
    help="Namespace in which a pod is asked for. It is never made (a dry run).",
)
@click.option(
    "--wait",
    default=0.0,
    show_default=True,
    help="Seconds to go on asking: new webhook configurations are trusted and used after some.",
)
@click.pass_context
def probe(context: click.Context, namespace: str, wait: float) -> None:
    """Ask the API server for a pod that serves a model, and see whether Weighmaster is asked.

    It logs in by its service account or else by a kubeconfig, and needs the right to create pods in
    the namespace. Nothing is created. Exit codes: 0 it is asked and answers, 1 it is not.
    """
    checked, message = asyncio.run(_ask_until(namespace, time.monotonic() + wait))
    click.echo(message)
    if not checked:
        context.exit(NOT_CHECKED)


async def _ask_until(namespace: str, deadline: float) -> tuple[bool, str]:
    """The first answer that shows that it is asked, else the last before the deadline."""
    while True:
        try:
            checked, message = await _ask(namespace)
        except ClusterError as error:
            checked, message = False, str(error)
        if checked or time.monotonic() >= deadline:
            return checked, message
        await asyncio.sleep(ASK_EVERY)


async def _ask(namespace: str) -> tuple[bool, str]:
    async with ApiClient() as client:
        collection = f"/api/v1/namespaces/{namespace}/pods"
        return verdict(*await client.try_create(collection, probe_pod(namespace)))
