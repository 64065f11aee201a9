"""Verification of trees on disk: walking, hashing, and the trust roots that come with us.

What is decided about them is decided in ``weighmaster.core.verify``.
"""
