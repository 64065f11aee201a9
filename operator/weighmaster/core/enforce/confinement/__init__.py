"""Confinement: how a pod must be for a model that does not comply to run in it."""
