"""Pods that run, where there is no kubelet: their status is written as one would write it."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.polling import eventually

Json = dict[str, Any]

LABEL = "weighmaster.dev/sandbox"
QUARANTINED_AT = "weighmaster.dev/quarantined-at"
CONTROLLER = "system:serviceaccount:weighmaster-system:weighmaster-controller"
FORBIDDEN = {"expression": {"cel": "model.runtime == 'none'", "message": "is forbidden"}}
ALLOWED = {"reference": {"require": ["Known"]}}
ALL_AT_ONCE = {"maxPerMinute": 1000, "maxPercent": 100}


class Api:
    """Requests as the administrator on one connection: kubectl takes a tenth of a second each."""

    def __init__(self, control_plane: ControlPlane) -> None:
        address = urlsplit(control_plane.server)
        context = ssl.create_default_context(cafile=control_plane.pki.authority.certificate)
        context.load_cert_chain(control_plane.pki.admin.certificate, control_plane.pki.admin.key)
        self.connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, context=context, timeout=20
        )

    def request(self, method: str, path: str, body: Json | None = None, user: str = "") -> Json:
        """The answer, as another user if one is given; raises AssertionError for a refusal."""
        patching = method == "PATCH"
        headers = {"Content-Type": f"application/{'merge-patch+' if patching else ''}json"}
        if user:
            headers |= {"Impersonate-User": user, "Impersonate-Group": "system:masters"}
        self.connection.request(method, path, json.dumps(body) if body else None, headers)
        response = self.connection.getresponse()
        answer: Json = json.loads(response.read())
        assert response.status < 300, answer
        return answer

    def pods(self, namespace: str) -> list[Json]:
        """All pods of a namespace that are not being deleted."""
        found = self.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def run_all(self, namespace: str) -> list[Json]:
        """Have every pod of a namespace run and be ready; returns them."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = {
            "phase": "Running",
            "startTime": now,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
        }
        for pod in self.pods(namespace):
            name = pod["metadata"]["name"]
            path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
            self.request("PATCH", path, {"status": status})
        return self.pods(namespace)

    def confined(self, namespace: str) -> list[Json]:
        """Pods with the label of a sandbox."""
        return [pod for pod in self.pods(namespace) if LABEL in pod["metadata"].get("labels", {})]

    def events(self, namespace: str, reason: str) -> list[Json]:
        """Events of a namespace with a reason."""
        found = self.request("GET", f"/api/v1/namespaces/{namespace}/events")["items"]
        return [event for event in found if event["reason"] == reason]

    def network_policies(self, namespace: str) -> dict[str, Json]:
        """NetworkPolicies of a namespace by name."""
        path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
        return {each["metadata"]["name"]: each for each in self.request("GET", path)["items"]}

    def running_status(self, policy: str) -> Json:
        """What a cluster policy says of running pods."""
        path = f"/apis/weighmaster.dev/v1alpha1/clustermodelpolicies/{policy}"
        found: Json = self.request("GET", path).get("status", {}).get("running") or {}
        return found


@contextmanager
def connected(control_plane: ControlPlane) -> Iterator[Api]:
    """An open connection."""
    api = Api(control_plane)
    with closing(api.connection):
        yield api


def enforcement(profile: str, **fields: Any) -> Json:
    """Of a policy that has running pods quarantined, all at once."""
    usual = {"action": "Deny", "running": "Quarantine", "sandboxProfile": profile}
    return {**usual, "pace": ALL_AT_ONCE, **fields}


def made(api: Api, namespace: str, count: int) -> bool:
    return eventually(lambda: len(api.pods(namespace)) == count, within=40)


def approval(policy: str, namespace: str) -> Json:
    """An exception for everything in a namespace that the policy's first rule is against."""
    return {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelException",
        "metadata": {"name": namespace},
        "spec": {
            "policies": [{"name": policy, "rules": ["rule-0"]}],
            "namespaces": [namespace],
            "references": ["hf://**"],
            "reason": "it has been audited",
            "approvedBy": "security",
            "expiresAt": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
        },
    }
