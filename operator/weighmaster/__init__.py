"""Kubernetes admission control for model weights.

The flow, and where each step lives:

    AdmissionReview -> detect -> [ModelUse] -> evaluate -> [Finding]
                    -> decide -> Decision -> respond

``core`` holds the four pure steps, ``pipeline`` is the only place that chains them, ``api`` the
typed resources they read. Everything that talks to the outside is at the edge: ``admission`` (the
HTTPS server), ``cluster`` (the reflector and the policy store), ``handlers`` (kopf) and ``cli``.
"""

__version__ = "0.1.0"
