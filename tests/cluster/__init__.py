"""Weighmaster against a real control plane: for the end-to-end tests and for ``make cluster``."""
