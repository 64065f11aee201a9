"""The installation: what decisions need to know about Weighmaster itself."""

from msgspec import Struct


class Installation(Struct, frozen=True, kw_only=True):
    """How Weighmaster is installed in this cluster.

    ``image`` is Weighmaster's own image by digest, which injected containers run; None where there
    is no cluster, as on the command line. ``controller`` is the user name of the controller, the
    only one who may change what Weighmaster keeps.
    """

    namespace: str = "weighmaster-system"
    controller: str = "system:serviceaccount:weighmaster-system:weighmaster-controller"
    image: str | None = None


LOCAL = Installation()
"""What it is taken for where there is no cluster to ask."""
