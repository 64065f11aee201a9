"""Staging: what is downloaded, from a hub on loopback."""
