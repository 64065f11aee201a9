"""The installation: what decisions need to know about Weighmaster itself."""

from msgspec import Struct

from weighmaster.core.staged import PUBLIC, Hub


class Installation(Struct, frozen=True, kw_only=True):
    """How Weighmaster is installed in this cluster.

    ``image`` is Weighmaster's own image by digest, which injected containers run; None where there
    is no cluster, as on the command line. ``controller`` is the user name of the controller, the
    only one who may change what Weighmaster keeps. ``hub`` is how pods reach the hub that models
    are staged from.
    """

    namespace: str = "weighmaster-system"
    controller: str = "system:serviceaccount:weighmaster-system:weighmaster-controller"
    image: str | None = None
    verifier_cpu: str = "1"
    verifier_memory: str = "256Mi"
    staging_cpu: str = "1"
    staging_memory: str = "256Mi"
    hub: Hub = PUBLIC


LOCAL = Installation(image=f"weighmaster.example/weighmaster@sha256:{'0' * 64}")
"""What it is taken for where there is no cluster to ask; the image stands for the real one."""
