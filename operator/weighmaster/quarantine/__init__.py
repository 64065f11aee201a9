"""Quarantine: the sandbox as the controller keeps it, for pods that run.

pods, policies, evidence ──> audit ──> verdicts ──> plan ──> label · evict · release
                     └─────> wanted NetworkPolicies ──> create · correct · delete
"""
