"""What the controller writes on objects when it confines and releases. Nobody else may."""

QUARANTINED_AT = "weighmaster.dev/quarantined-at"
"""On pods that were confined while they ran: since when (RFC 3339). Those that were admitted
confined do not have it, and cannot be released as they are."""

QUARANTINED_BY = "weighmaster.dev/quarantined-by"
"""On the same pods: the policy that asked for it, ``name`` or ``namespace/name``."""

MARKS = frozenset({QUARANTINED_AT, QUARANTINED_BY})
"""What counts against the pace of policies and may not be made up, nor taken away."""

ROLLOUT = "weighmaster.dev/rollout"
"""On the pod template of an owner: the decision by which its confined pods are made anew."""
