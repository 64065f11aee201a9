"""The OpenSSF model-signing conformance suite, run against our verifier."""
