"""Staging: models are downloaded by us, and verified while they are, before a server starts.

What may be downloaded is decided at admission, and arrives by value (``weighmaster.core.staged``).
"""
