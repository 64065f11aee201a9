"""The controller's service account, with exactly the rights that the chart grants."""

from collections.abc import Iterator
from typing import Any

from weighmaster.chart.grants import GRANTS, Grant, Named, Place, Role, rule

Json = dict[str, Any]

CONTROLLER = "weighmaster-controller"
_API = "rbac.authorization.k8s.io"
_NAMES = {Named.LEASE: CONTROLLER, Named.CONFIGURATION: "weighmaster"}


def controller_rights(namespace: str) -> Iterator[Json]:
    """What to apply: without a certificate of its own making, for which there are others."""
    metadata = {"name": CONTROLLER, "namespace": namespace}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    subject = {"kind": "ServiceAccount", **metadata}
    for kind, place, where in (
        ("ClusterRole", Place.CLUSTER, {"name": CONTROLLER}),
        ("Role", Place.OWN_NAMESPACE, metadata),
    ):
        granted = [rule(grant, _NAMES) for grant in GRANTS if _is_for(grant, place)]
        yield {"apiVersion": f"{_API}/v1", "kind": kind, "metadata": where, "rules": granted}
        yield {
            "apiVersion": f"{_API}/v1",
            "kind": f"{kind}Binding",
            "metadata": where,
            "roleRef": {"apiGroup": _API, "kind": kind, "name": CONTROLLER},
            "subjects": [subject],
        }


def _is_for(grant: Grant, place: Place) -> bool:
    return grant.role is Role.CONTROLLER and grant.place is place and grant.when is None
