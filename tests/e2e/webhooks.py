"""Other people's mutating webhooks, beside Weighmaster's."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually
from tests.controlplane.test_webhooks import Webhook

Json = dict[str, Any]
Change = Callable[[Json], list[Json]]
"""From a pod to the JSON Patch that the webhook makes of it."""


@contextmanager
def mutating(
    control_plane: ControlPlane,
    namespace: str,
    change: Change,
    *,
    reinvocation: str = "Never",
    order: str = "zzz",
) -> Iterator[None]:
    """A webhook that changes the pods of a namespace after Weighmaster has, being later by name.

    With ``order`` "aaa" it does so before.
    """
    name = f"{order}-{namespace}"
    asked = 0

    def answer(request: Json) -> Json:
        nonlocal asked
        asked += 1
        patch = base64.b64encode(json.dumps(change(request["object"])).encode()).decode()
        return {"allowed": True, "patchType": "JSONPatch", "patch": patch}

    with closing(Webhook(control_plane)) as webhook:
        webhook.answer = answer
        rule = {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods"],
            "operations": ["CREATE"],
        }
        control_plane.apply(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": name},
                "webhooks": [
                    {
                        "name": "changes.tests.weighmaster.dev",
                        "clientConfig": webhook.client_config,
                        "rules": [rule],
                        "namespaceSelector": {
                            "matchLabels": {"kubernetes.io/metadata.name": namespace}
                        },
                        "failurePolicy": "Fail",
                        "reinvocationPolicy": reinvocation,
                        "sideEffects": "None",
                        "admissionReviewVersions": ["v1"],
                    }
                ],
            }
        )
        shell = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "shell", "namespace": namespace},
            "spec": {"containers": [{"name": "shell", "image": "busybox"}]},
        }

        def called() -> bool:
            control_plane.kubectl(
                *("create", "--dry-run=server", "-f", "-"), stdin=json.dumps(shell), check=False
            )
            return asked > 0

        try:
            assert eventually(called)
            yield
        finally:
            control_plane.kubectl("delete", "mutatingwebhookconfiguration", name)
