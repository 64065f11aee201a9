"""Confinement: how a pod must be for a model that does not comply to run in it.

    secrets ──> volumes ──> containers ──> resources ──> the pod itself

`confine` only tightens, changes nothing that is tight enough, and leaves what it has confined as it
is, also after the API server has filled in its defaults. Of what the restricted Pod Security
Standard forbids nothing is left but the read-only view of a model on the node, which the pod has to
name. What cannot be taken away without another pod coming of it is refused instead.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from weighmaster.api.v1alpha1.sandbox import SandboxProfileSpec, SecretHandling
from weighmaster.core.enforce.confinement.containers import confine_containers
from weighmaster.core.enforce.confinement.draft import Draft, Refusal
from weighmaster.core.enforce.confinement.pods import confine_pod
from weighmaster.core.enforce.confinement.resources import cap
from weighmaster.core.enforce.confinement.secrets import Secrets
from weighmaster.core.enforce.confinement.volumes import confine_volumes

__all__ = ["Confined", "Refusal", "confine"]


class Confined(Struct, frozen=True):
    """A pod as it must be, unless ``refusals`` say why it cannot be so."""

    pod: Mapping[str, Any]
    refusals: tuple[Refusal, ...]


def confine(
    pod: Mapping[str, Any],
    profile: str,
    spec: SandboxProfileSpec,
    references: Iterable[str],
    injected: str = "",
) -> Confined:
    """A pod, confined by a profile of this name.

    ``references`` are the locations of the models that the pod names, in canonical form.
    ``injected`` is the name of an init container that Weighmaster itself has put into the pod: the
    profile's variables are for what it confines, and would change how that one works.
    """
    draft = Draft(pod)
    if draft.malformed:
        return Confined(pod, tuple(draft.refusals))
    Secrets(draft, strip=spec.secrets is SecretHandling.STRIP).remove()
    confine_volumes(draft, references)
    confine_containers(draft, spec.run_as_user, spec.env, injected)
    cap(draft, spec.resources)
    confine_pod(draft, profile, spec)
    return Confined(draft.pod, tuple(draft.refusals))
