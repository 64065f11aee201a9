"""DSSE pre-authentication encoding: the bytes that are signed.

https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md
"""


def encode(payload_type: str, payload: bytes) -> bytes:
    """PAE over the raw payload, as it stands in the envelope: never over parsed JSON."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode_legacy(payload_type: str, payload: bytes) -> bytes:
    """What model-signing 0.2 signed instead, by mistake: the repr of the payload."""
    return f"DSSEV1 {len(payload_type)} {payload_type} {len(payload)} {payload!r}".encode()
