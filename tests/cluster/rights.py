"""The service accounts of both roles: with the chart's rights and no others, and what they use."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from weighmaster.chart.grants import GRANTS, Grant, Named, Place, Role, rule

Json = dict[str, Any]

_API = "rbac.authorization.k8s.io"
_NAMES = {Named.LEASE: "weighmaster-controller", Named.CONFIGURATION: "weighmaster"}


def account(role: Role) -> str:
    """The name of a role's service account, as the chart has it."""
    return f"weighmaster-{role}"


def rights(role: Role, namespace: str) -> Iterator[Json]:
    """What to apply: without a certificate of its own making, for which there are others."""
    name = account(role)
    metadata = {"name": name, "namespace": namespace}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    subject = {"kind": "ServiceAccount", **metadata}
    for kind, place, where in (
        ("ClusterRole", Place.CLUSTER, {"name": name}),
        ("Role", Place.OWN_NAMESPACE, metadata),
    ):
        granted = [rule(grant, _NAMES) for grant in GRANTS if _is_for(grant, role, place)]
        yield {"apiVersion": f"{_API}/v1", "kind": kind, "metadata": where, "rules": granted}
        yield {
            "apiVersion": f"{_API}/v1",
            "kind": f"{kind}Binding",
            "metadata": where,
            "roleRef": {"apiGroup": _API, "kind": kind, "name": name},
            "subjects": [subject],
        }


def _is_for(grant: Grant, role: Role, place: Place) -> bool:
    return grant.role is role and grant.place is place and grant.when is None


class Right(NamedTuple):
    """One verb about one resource; ``resource`` has its subresource."""

    role: Role
    group: str
    resource: str
    verb: str


def granted() -> set[Right]:
    """All that the chart grants."""
    return {
        Right(grant.role, grant.group, resource, verb)
        for grant in GRANTS
        for resource in grant.resources
        for verb in grant.verbs
    }


def asked(events: Iterable[Json], namespace: str, decision: str) -> set[Right]:
    """What both roles asked for, and were allowed to (``allow``) or not (``forbid``).

    ``events`` are those of an audit log (audit.k8s.io/v1), ``namespace`` is the roles' own. What
    a test asks by kubectl in their name is left out.
    """
    users = {f"system:serviceaccount:{namespace}:{account(role)}": role for role in Role}
    return {
        Right(users[user], about.get("apiGroup", ""), _resource(about), event["verb"])
        for event in events
        if (user := event["user"]["username"]) in users
        and (about := event.get("objectRef"))
        and not event.get("userAgent", "").startswith("kubectl")
        and event.get("annotations", {}).get("authorization.k8s.io/decision") == decision
    }


def _resource(about: Json) -> str:
    resource, sub = str(about["resource"]), about.get("subresource")
    return f"{resource}/{sub}" if sub else resource
