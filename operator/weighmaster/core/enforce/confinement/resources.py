"""Resource caps of a profile: limits become at most the cap, and requests at most the limit."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from weighmaster.core.enforce.confinement.draft import Draft, Json, part
from weighmaster.core.enforce.confinement.quantities import parse_quantity

RUNNING = ("initContainers", "containers")
"""Ephemeral containers have no resources of their own (KEP-277)."""


def cap(draft: Draft, caps: Mapping[str, str]) -> None:
    """Cap every container. What cannot be read as a quantity is refused."""
    of_pod = (draft.spec.get("resources") or {}).get("limits") or {}
    for container, path in draft.containers(RUNNING):
        for name, most in caps.items():
            _cap(draft, container, f"{path}.resources", name, _lower(most, of_pod.get(name)))


def is_indivisible(resource: str) -> bool:
    """Whether a resource cannot be overcommitted: its request is its limit, as with GPUs."""
    return "/" in resource or resource.startswith("hugepages-")


def _lower(most: str, other: Any) -> str:
    """The cap, or the pod's own limit where that is lower: the API server allows no more."""
    amount = parse_quantity(other)
    return str(other) if amount is not None and amount < _amount(most) else most


def _cap(draft: Draft, container: Json, path: str, name: str, most: str) -> None:
    given = container.get("resources") or {}
    limit, request = ((given.get(kind) or {}).get(name) for kind in ("limits", "requests"))
    for kind, value in (("limits", limit), ("requests", request)):
        if value is not None and parse_quantity(value) is None:
            draft.refuse(f"{path}.{kind}.{name}", "is no quantity, so it cannot be capped")
            return
    if is_indivisible(name):
        _cap_indivisible(container, name, most, limit if limit is not None else request)
        return
    if limit is None or _amount(limit) > _amount(most):
        limits = part(part(container, "resources"), "limits")
        limits[name] = most
        if limit is None and request is None:
            # Otherwise the API server would take the new limit for a request.
            part(part(container, "resources"), "requests")[name] = "0"
    now = container["resources"]["limits"][name]
    if request is not None and _amount(request) > _amount(now):
        container["resources"]["requests"][name] = now


def _cap_indivisible(container: Json, name: str, most: str, asked: Any) -> None:
    """Cap what is asked for; who asks for none gets none."""
    if asked is None or _amount(asked) <= _amount(most):
        return
    resources = container["resources"]
    for kind in ("limits", "requests"):
        if name in (resources.get(kind) or {}):
            resources[kind][name] = most


def _amount(quantity: Any) -> Fraction:
    amount = parse_quantity(quantity)
    return amount if amount is not None else Fraction(0)
